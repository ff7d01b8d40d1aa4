// SPDX-License-Identifier: Apache-2.0
#include "CKachelEngines.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "folder.h"

/* When a process ends, OpenVINO unloads its plugins while threads of its own may still be in their code: about one
 * process in a hundred crashed. Libraries that are never unloaded stay where those threads are. */
static void keep_loaded(const char *path) {
  const char *const kept[] = {"libopenvino_intel_cpu_plugin.", "libopenvino_onnx_frontend.",
                              "libopenvino_tensorflow_frontend.", "libopenvino.", "libtbb."};
  kachel_open_beside(path, kept, sizeof kept / sizeof *kept, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
}

const struct kachel_openvino *kachel_openvino_open(const char *path, char *reason, size_t capacity) {
  // Local: the engine's symbols must not meet those of another engine, or of another OpenVINO, in the same process.
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *message = dlerror();
    snprintf(reason, capacity, "%s", message ? message : "unknown reason");
    return NULL;
  }
  struct kachel_openvino *openvino = calloc(1, sizeof *openvino);
  if (!openvino) {
    snprintf(reason, capacity, "no memory left");
    dlclose(library);
    return NULL;
  }
#define KACHEL_FIND(result, name, arguments)                                                                           \
  if (!(*(void **)&openvino->name = dlsym(library, "ov_" #name))) {                                                    \
    snprintf(reason, capacity, "it lacks the function ov_" #name);                                                     \
    free(openvino);                                                                                                    \
    dlclose(library);                                                                                                  \
    return NULL;                                                                                                       \
  }
  KACHEL_OPENVINO_FUNCTIONS(KACHEL_FIND)
#undef KACHEL_FIND
  keep_loaded(path);
  return openvino;
}

int32_t kachel_openvino_compile(const struct kachel_openvino *openvino, const struct ov_core *core,
                                const struct ov_model *model, const char *device, const char *const settings[8],
                                struct ov_compiled_model **compiled) {
  // The count is that of the strings, not of the pairs.
  return openvino->core_compile_model(core, model, device, 8, compiled, settings[0], settings[1], settings[2],
                                      settings[3], settings[4], settings[5], settings[6], settings[7]);
}
