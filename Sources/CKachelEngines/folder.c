// SPDX-License-Identifier: Apache-2.0
#include "folder.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

void kachel_open_beside(const char *path, const char *const *prefixes, size_t count, int flags) {
  char folder[4096];
  int length = snprintf(folder, sizeof folder, "%s", path);
  char *end = length > 0 && (size_t)length < sizeof folder ? strrchr(folder, '/') : NULL;
  if (!end) return;
  *end = 0;
  DIR *entries = opendir(folder);
  if (!entries) return;
  for (size_t index = 0; index < count; index++) {
    rewinddir(entries);
    for (struct dirent *entry; (entry = readdir(entries));) {
      if (strncmp(entry->d_name, prefixes[index], strlen(prefixes[index]))) continue;
      char file[8192];
      if (snprintf(file, sizeof file, "%s/%s", folder, entry->d_name) < (int)sizeof file) dlopen(file, flags);
    }
  }
  closedir(entries);
}
