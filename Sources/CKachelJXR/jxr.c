// SPDX-License-Identifier: Apache-2.0
#include "CKachelJXR.h"

#include <errno.h>
#include <jxrlib/JXRGlue.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/// What the decoding process leaves behind; a process that dies leaves UNFINISHED.
enum outcome { UNFINISHED, DECODED, NO_MEMORY, BAD_HEADER, OTHER_SIZE, OTHER_FORMAT, HAS_ALPHA, BAD_PIXELS };

static const char *const problems[] = {
    [UNFINISHED] = "its pixels are damaged", [DECODED] = NULL,
    [NO_MEMORY] = "there is no memory",      [BAD_HEADER] = "its header cannot be read",
    [OTHER_SIZE] = "its size is not that of its header",
    [OTHER_FORMAT] = "its pixel format is not that of its header",
    [HAS_ALPHA] = "it has an alpha plane",   [BAD_PIXELS] = "its pixels cannot be decoded",
};

static enum outcome copy_pixels(
    PKImageDecode *decoder, uint8_t format, int32_t width, int32_t height, void *output, uint32_t stride) {
  I32 found_width = 0, found_height = 0;
  if (decoder->GetSize(decoder, &found_width, &found_height) != WMP_errSuccess || found_width != width ||
      found_height != height)
    return OTHER_SIZE;
  PKPixelFormatGUID expected = GUID_PKPixelFormat8bppGray, found;
  expected.Data4[7] = format;
  if (decoder->GetPixelFormat(decoder, &found) != WMP_errSuccess || memcmp(&expected, &found, sizeof found) != 0)
    return OTHER_FORMAT;
  if (decoder->WMP.bHasAlpha) return HAS_ALPHA;
  decoder->WMP.wmiSCP.uAlphaMode = 0;
  PKRect all = {0, 0, width, height};
  return decoder->Copy(decoder, &all, output, stride) == WMP_errSuccess ? DECODED : BAD_PIXELS;
}

/// Runs jxrlib. Nothing is released: the process ends afterwards.
static enum outcome decode(
    const void *data, size_t size, uint8_t format, int32_t width, int32_t height, void *output, uint32_t stride) {
  struct WMPStream *stream = NULL;
  PKImageDecode *decoder = NULL;
  // The stream is only read from, although its type does not say so.
  if (CreateWS_Memory(&stream, (void *)data, size) != WMP_errSuccess) return NO_MEMORY;
  if (PKImageDecode_Create_WMP(&decoder) != WMP_errSuccess) return NO_MEMORY;
  if (decoder->Initialize(decoder, stream) != WMP_errSuccess) return BAD_HEADER;
  return copy_pixels(decoder, format, width, height, output, stride);
}

/// Makes the child process die quietly where jxrlib fails, and in the end wherever it does not come to an end.
static void limit_child(rlim_t seconds) {
  static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGXCPU};
  sigset_t set;
  sigemptyset(&set);
  for (size_t index = 0; index < sizeof deadly / sizeof *deadly; index++) {
    signal(deadly[index], SIG_DFL);
    sigaddset(&set, deadly[index]);
  }
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  struct rlimit time = {seconds, seconds};
  setrlimit(RLIMIT_CPU, &time);
  // The C library's words on damaged memory are not for the user.
  close(STDERR_FILENO);
}

const char *kachel_jxr_decode(
    const void *data, size_t size, uint8_t format, int32_t width, int32_t height, int32_t bytes_per_pixel,
    void *output) {
  // jxrlib decodes macroblocks of 16 x 16 pixels: room for those that reach beyond the image, and the outcome first.
  const size_t first = 4096, row = (size_t)width * bytes_per_pixel;
  const size_t stride = ((size_t)width + 31) / 16 * 16 * bytes_per_pixel;
  const size_t total = first + stride * ((size_t)height + 32);
  if (stride > UINT32_MAX) return problems[NO_MEMORY];
  uint8_t *shared = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return problems[NO_MEMORY];
  volatile enum outcome *outcome = (volatile enum outcome *)shared;

  // The child only calls jxrlib, which allocates and computes; the C libraries allow both after a fork.
  const pid_t child = fork();
  if (child == 0) {
    // jxrlib decodes some 20 MB in a second of computing.
    limit_child(5 + (rlim_t)(total >> 20));
    *outcome = decode(data, size, format, width, height, shared + first, (uint32_t)stride);
    _exit(0);
  }
  if (child < 0) {
    munmap(shared, total);
    return "no process can be started to decode it";
  }
  // Fails beside EINTR only where the program ignores its children; then it waits for their end as well.
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  enum outcome result = *outcome;
  if (result > BAD_PIXELS) result = UNFINISHED;
  if (result == DECODED)
    for (int32_t y = 0; y < height; y++) memcpy((uint8_t *)output + row * y, shared + first + stride * y, row);
  munmap(shared, total);
  return problems[result];
}
