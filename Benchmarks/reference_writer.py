# SPDX-License-Identifier: Apache-2.0
"""Writes labels that are in memory into a Zarr array with zarr-python, again and again, on one thread.

Prints JSON: seconds and the processor's seconds of every repetition. One before them is not measured.
"""

import json
import sys
import time

import numpy
import zarr
from PIL import Image


def labels(picture, side, dtype):
    """The labels of KachelBenchmarks write-image."""
    tile = numpy.asarray(Image.open(picture)).astype("u2")
    if dtype == "uint8":
        tile = numpy.where(tile > 0, 2, 1).astype("u1")
    repeats = [side // length + 1 for length in tile.shape]
    return numpy.ascontiguousarray(numpy.tile(tile, repeats)[:side, :side])


def main():
    picture, folder, side, dtype, version, shard, level, times = sys.argv[1:]
    # One chunk at a time, encoded by one thread. Another one runs zarr's event loop; that cannot be changed.
    zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1})
    pixels = labels(picture, int(side), dtype)
    options = {"zarr_format": 2 if version == "0.4" else 3}
    if level != "default":
        import numcodecs

        options["compressors"] = (
            numcodecs.Zstd(level=int(level)) if version == "0.4" else zarr.codecs.ZstdCodec(level=int(level)))
    if shard != "none":
        options["shards"] = (int(shard),) * 2
    report = {"seconds": [], "processorSeconds": []}
    for repetition in range(int(times) + 1):
        processor, start = time.process_time(), time.perf_counter()
        array = zarr.create_array(
            f"{folder}/{repetition}.zarr", shape=pixels.shape, chunks=(1024, 1024), dtype=pixels.dtype, fill_value=0,
            **options)
        array[...] = pixels
        seconds, processor_seconds = time.perf_counter() - start, time.process_time() - processor
        if repetition > 0:
            report["seconds"].append(seconds)
            report["processorSeconds"].append(processor_seconds)
    json.dump(report, sys.stdout)


main()
