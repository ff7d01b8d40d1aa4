// SPDX-License-Identifier: Apache-2.0
#include "CKachelEngines.h"

#ifdef __linux__
#include <malloc.h>
#endif

void kachel_share_freed_memory(void) {
#ifdef M_ARENA_MAX
  mallopt(M_ARENA_MAX, 1);
#endif
}
