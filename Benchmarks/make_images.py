# SPDX-License-Identifier: Apache-2.0
"""Makes the images that Benchmarks/formats reads, with the reference software of their formats."""

import sys

import numcodecs
import numpy
import tifffile
import zarr
from pylibCZIrw import czi as pylibczi

SOURCE = "Examples/nuclei-mosaic.czi"
HILO = "zstd1:ExplicitLevel=1;PreProcess=HiLoByteUnpack"


def fluorescence(side):
    """A plane as a camera of 12 bits sees it: the example's nuclei, mirrored again and again, with the noise of light.

    The same for the same side on every machine.
    """
    with pylibczi.open_czi(SOURCE) as file:
        nuclei = file.read()[:side, :side, 0]
    # The background has 100 photons in a pixel, the brightest nuclei about 4000.
    photons = numpy.pad(nuclei, [(0, side - size) for size in nuclei.shape], mode="symmetric")
    random = numpy.random.Generator(numpy.random.PCG64(1))
    pixels = numpy.empty((side, side), numpy.uint16)
    for row in range(0, side, 256):
        pixels[row:row + 256] = random.poisson(100 + 16 * photons[row:row + 256].astype(numpy.float32))
    return pixels


def czi(path, pixels, compression, tile):
    with pylibczi.create_czi(path, compression_options=compression) as file:
        for y in range(0, pixels.shape[0], tile):
            for x in range(0, pixels.shape[1], tile):
                part = numpy.ascontiguousarray(pixels[y:y + tile, x:x + tile])
                file.write(part[..., None], location=(x, y), plane={"C": 0, "Z": 0, "T": 0})


def tiff(path, pixels, **options):
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "YX"}, tile=(512, 512), **options)


def ome_zarr(path, version, shape, levels, codec):
    """An OME-Zarr 0.4 (Zarr 2) or 0.5 (Zarr 3) of 16-bit pixels without any; returns the arrays of its levels."""
    group = zarr.open_group(path, mode="w", zarr_format=version)
    datasets = [{"path": str(level),
                 "coordinateTransformations": [{"type": "scale", "scale": [0.5 * 2 ** level] * 2}]}
                for level in range(levels)]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    multiscale = {"axes": axes, "datasets": datasets}
    if version == 2:
        group.attrs["multiscales"] = [multiscale | {"version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    return [group.create_array(
        str(level), shape=[-(-size >> level) for size in shape], chunks=(1024, 1024), dtype="uint16", compressors=codec,
        filters=None, chunk_key_encoding={"name": "v2", "separator": "/"} if version == 2 else None)
        for level in range(levels)]


def blosc(compressor):
    return numcodecs.Blosc(cname=compressor, clevel=5, shuffle=numcodecs.Blosc.SHUFFLE)


def main():
    folder, side = sys.argv[1], int(sys.argv[2])
    pixels = fluorescence(side)
    small = (pixels >> 4).astype(numpy.uint8)
    czi(f"{folder}/zstd1-hilo-1024.czi", pixels, HILO, 1024)
    czi(f"{folder}/zstd1-hilo-2048.czi", pixels, HILO, 2048)
    czi(f"{folder}/zstd1-8bit.czi", small, "zstd1:ExplicitLevel=1", 1024)
    czi(f"{folder}/raw-1024.czi", pixels, "uncompressed:", 1024)
    czi(f"{folder}/raw-2048.czi", pixels, "uncompressed:", 2048)
    tiff(f"{folder}/deflate.ome.tiff", pixels, compression="zlib")
    tiff(f"{folder}/deflate-predictor.ome.tiff", pixels, compression="zlib", predictor=True)
    tiff(f"{folder}/deflate-predictor-8bit.ome.tiff", small, compression="zlib", predictor=True)
    tiff(f"{folder}/lzw-predictor.ome.tiff", pixels, compression="lzw", predictor=True)
    tiff(f"{folder}/raw.ome.tiff", pixels)
    for name, version, codec in [
        ("blosc-lz4", 2, blosc("lz4")), ("zlib", 2, numcodecs.Zlib(level=1)),
        ("blosc-zstd", 3, zarr.codecs.BloscCodec(cname="zstd", shuffle="shuffle")),
        ("zstd", 3, zarr.codecs.ZstdCodec(level=3)),
    ]:
        ome_zarr(f"{folder}/{name}.ome.zarr", version, (side, side), 1, codec)[0][...] = pixels
    # 10 gigapixels of which a part in the middle is stored, on every level.
    huge = ome_zarr(f"{folder}/huge.ome.zarr", 2, (100_000, 100_000), 8, blosc("lz4"))
    for level, array in enumerate(huge):
        part = pixels[:4096:2 ** level, :4096:2 ** level]
        start = (array.shape[0] - part.shape[0]) // 2
        array[start:start + part.shape[0], start:start + part.shape[1]] = part


if __name__ == "__main__":
    main()
