// SPDX-License-Identifier: Apache-2.0
#include "CKachelEngines.h"

#include <pthread.h>
#include <stdio.h>

void kachel_name_thread(const char *name) {
#if defined(__APPLE__)
  pthread_setname_np(name);
#else
  char cut[16];  // Linux takes no more, and rejects a longer name instead of cutting it.
  snprintf(cut, sizeof cut, "%s", name);
  pthread_setname_np(pthread_self(), cut);
#endif
}
