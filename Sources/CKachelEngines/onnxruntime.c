// SPDX-License-Identifier: Apache-2.0
#include "CKachelEngines.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "folder.h"

struct ort_base {
  void *const *(*get_table)(uint32_t version);
  const char *(*get_version)(void);
};

/// The oldest interface that has all the functions; libraries from 1.17 on offer it.
enum { interface_version = 17 };

const struct kachel_onnxruntime *kachel_onnxruntime_open(const char *path, char *reason, size_t capacity) {
  // Local, as OpenVINO is. Never closed once it is opened: threads of its own may still be in its code.
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *message = dlerror();
    snprintf(reason, capacity, "%s", message ? message : "unknown reason");
    return NULL;
  }
  const struct ort_base *(*get_base)(void) = (const struct ort_base *(*)(void))dlsym(library, "OrtGetApiBase");
  if (!get_base) {
    snprintf(reason, capacity, "it lacks the function OrtGetApiBase");
    dlclose(library);
    return NULL;
  }
  const struct ort_base *base = get_base();
  void *const *slots = base->get_table(interface_version);
  if (!slots) {
    snprintf(reason, capacity, "version %s is older than 1.%d", base->get_version(), interface_version);
    return NULL;
  }
  struct kachel_onnxruntime *engine = calloc(1, sizeof *engine);
  if (!engine) {
    snprintf(reason, capacity, "no memory left");
    return NULL;
  }
#define KACHEL_TAKE(slot, name, arguments) *(void **)&engine->name = slots[slot];
  KACHEL_ONNXRUNTIME_FUNCTIONS(KACHEL_TAKE, KACHEL_TAKE)
#undef KACHEL_TAKE
  *(void **)&engine->get_error_message = slots[2];
  engine->version = base->get_version();
  return engine;
}

void kachel_onnxruntime_open_cuda(const char *path) {
  // In an order in which each finds those that it needs. Global: the engine's CUDA part needs them by their names only.
  const char *const libraries[] = {"libcudart.",  "libnvJitLink.", "libnvrtc.", "libcublasLt.",
                                   "libcublas.",  "libcurand.",    "libcufft.", "libcudnn."};
  kachel_open_beside(path, libraries, sizeof libraries / sizeof *libraries, RTLD_LAZY | RTLD_GLOBAL | RTLD_NODELETE);
}
