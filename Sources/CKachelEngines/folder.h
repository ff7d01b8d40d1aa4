// SPDX-License-Identifier: Apache-2.0
#ifndef KACHEL_FOLDER_H
#define KACHEL_FOLDER_H

#include <stddef.h>

/// Opens the libraries in the folder of a file whose names begin with one of the prefixes, in the prefixes' order.
/// `flags` are those of dlopen. What cannot be opened is passed over.
void kachel_open_beside(const char *path, const char *const *prefixes, size_t count, int flags);

#endif
