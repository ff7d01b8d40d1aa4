# SPDX-License-Identifier: Apache-2.0
"""Stores what czifile reads from a CZI as NumPy files SCENE-LEVEL.npy with the axes t, c, z, y, x, sample.

    read_czifile.py FILE FOLDER
"""

import sys

import czifile
import numpy

with czifile.CziFile(sys.argv[1]) as file:
    for scene, image in file.scenes.items():
        for level, resolution in enumerate(image.levels):
            # It calls samples S.
            sizes, pixels = resolution.sizes, resolution.asarray()
            names = list(sizes)
            pixels = pixels.transpose([names.index(name) for name in "TCZYXS" if name in names])
            numpy.save(f"{sys.argv[2]}/{scene}-{level}.npy", pixels.reshape([sizes.get(name, 1) for name in "TCZYXS"]))
