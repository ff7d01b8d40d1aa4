# SPDX-License-Identifier: Apache-2.0
"""Makes the race's images, and compares labels; started by peers.py with the formats' reference software.

    peers_images.py make PICTURE SIDE BASE   write BASE.npy, BASE.czi and BASE.ome.zarr; PICTURE is nuclei or a CZI
    peers_images.py compare LABELS LABELS    print the share of pixels that differ (.npy or .ome.zarr)
"""

import sys

import numpy
import zarr

import make_images

# From 12 bits to nearly all of 16.
GAIN = 15


def nuclei(side):
    pixels = make_images.fluorescence(side)
    numpy.minimum(pixels, 65535 // GAIN, out=pixels)
    pixels *= GAIN
    return pixels


def mirrored(path, side):
    """The pixels of a 16-bit CZI, mirrored again and again."""
    with make_images.pylibczi.open_czi(path) as file:
        pixels = file.read()[:side, :side, 0]
    return numpy.pad(pixels, [(0, side - size) for size in pixels.shape], mode="symmetric")


def make(picture, side, base):
    pixels = nuclei(side) if picture == "nuclei" else mirrored(picture, side)
    numpy.save(f"{base}.npy", pixels)
    make_images.czi(f"{base}.czi", pixels, make_images.HILO, 1024)
    make_images.ome_zarr(f"{base}.ome.zarr", 2, (side, side), 1, make_images.blosc("lz4"))[0][...] = pixels


def labels(path):
    """An array whose last two axes are y and x."""
    if path.endswith(".npy"):
        return numpy.load(path, mmap_mode="r")
    return zarr.open_group(path, mode="r")["0"]


def compare(one, other):
    arrays = [labels(path) for path in (one, other)]
    if arrays[0].shape[-2:] != arrays[1].shape[-2:]:
        sys.exit(f"{one} and {other} are not of one size: {arrays[0].shape}, {arrays[1].shape}")
    differing, (height, width) = 0, arrays[0].shape[-2:]
    for row in range(0, height, 1024):
        parts = [numpy.asarray(array[..., row:row + 1024, :]).reshape(-1, width) for array in arrays]
        differing += numpy.count_nonzero(parts[0] != parts[1])
    print(differing / (height * width))


if sys.argv[1] == "make":
    make(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    compare(*sys.argv[2:])
