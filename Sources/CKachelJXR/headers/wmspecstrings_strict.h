// SPDX-License-Identifier: Apache-2.0
// jxrlib's headers name each other as if their folder were searched; this leads to it.
#include <jxrlib/wmspecstrings_strict.h>
