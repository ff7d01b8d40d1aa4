// SPDX-License-Identifier: Apache-2.0
//
// Decodes JPEG XR by jxrlib, whose headers Swift cannot import: they need macros and define types of their own.
#ifndef CKACHELJXR_H
#define CKACHELJXR_H

#include <stddef.h>
#include <stdint.h>

/// Decodes an image of one frame without alpha, in a process of its own: damaged data make jxrlib (of 2017, and not
/// maintained since) read and write outside its memory, in one of ten randomly damaged images.
///
/// The caller has read the file's header: `format` is the last byte of its pixel format (the other bytes are the same
/// in all formats that are decoded here), `width` and `height` are the size that it says. jxrlib must agree.
///
/// - output: `height` tight rows of `width` pixels.
/// - Returns: NULL, or what is wrong; the text is a constant.
const char *kachel_jxr_decode(
    const void *data, size_t size, uint8_t format, int32_t width, int32_t height, int32_t bytes_per_pixel,
    void *output);

#endif
