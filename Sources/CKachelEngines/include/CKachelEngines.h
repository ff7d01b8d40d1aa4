// SPDX-License-Identifier: Apache-2.0
#ifndef KACHEL_ENGINES_H
#define KACHEL_ENGINES_H

#include "cuda.h"
#include "onnxruntime.h"
#include "openvino.h"

/// Names the calling thread, as debuggers and profilers show it. Linux keeps the first 15 bytes.
void kachel_name_thread(const char *_Nonnull name);

/// Lets what one thread frees be used by all others, where the system keeps parts of the memory for single threads. Must
/// come before there are other threads.
void kachel_share_freed_memory(void);

#endif
