# SPDX-License-Identifier: Apache-2.0
"""Reads the first plane of an image with the reference reader of its format, again and again, on one thread.

Prints JSON like `KachelBenchmarks read-image`. One repetition before the others is not measured, so that the file and
the reader's own modules are in memory.
"""

import hashlib
import json
import sys
import time


def czi(path):
    from pylibCZIrw import czi

    def read():
        with czi.open_czi(path) as file:
            return file.read(plane={"C": 0, "Z": 0, "T": 0})

    # libCZI decodes on the thread that calls it; there is nothing to set.
    return read


def tiff(path):
    import tifffile

    return lambda: tifffile.imread(path, key=0, maxworkers=1)


def zarr(path):
    import numcodecs.blosc
    import zarr

    numcodecs.blosc.use_threads = False
    numcodecs.blosc.set_nthreads(1)
    # One chunk at a time, decoded by one thread. Another one runs zarr's event loop; that cannot be changed.
    zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1})
    return lambda: zarr.open_array(f"{path}/0", mode="r")[...]


def main():
    path, times = sys.argv[1], int(sys.argv[2])
    read = {"czi": czi, "tiff": tiff, "zarr": zarr}[path.rsplit(".", 1)[1]](path)
    report = {"seconds": [], "processorSeconds": []}
    for repetition in range(times + 1):
        pixels = None
        processor, start = time.process_time(), time.perf_counter()
        pixels = read()
        seconds, processor_seconds = time.perf_counter() - start, time.process_time() - processor
        if repetition > 0:
            report["seconds"].append(seconds)
            report["processorSeconds"].append(processor_seconds)
    report["size"] = list(pixels.shape[:2])
    report["sha256"] = hashlib.sha256(pixels).hexdigest()
    json.dump(report, sys.stdout)


main()
