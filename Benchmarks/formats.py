# SPDX-License-Identifier: Apache-2.0
"""Compares reading and writing with the reference software, and measures what huge images need; started by
Benchmarks/formats."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

from writing import writing

SOURCE = "Examples/nuclei-mosaic.czi"
# Files that Kachel must read at least as fast as the reference reader, and others for comparison.
READ = [
    ("CZI zstd1 HiLo, 16 bit, tiles 1024", "zstd1-hilo-1024.czi", True),
    ("CZI zstd1 HiLo, 16 bit, tiles 2048", "zstd1-hilo-2048.czi", True),
    ("CZI zstd1, 8 bit, tiles 1024", "zstd1-8bit.czi", True),
    ("CZI uncompressed, 16 bit, tiles 1024", "raw-1024.czi", True),
    ("CZI uncompressed, 16 bit, tiles 2048", "raw-2048.czi", True),
    ("OME-TIFF Deflate, 16 bit, tiles 512", "deflate.ome.tiff", True),
    ("OME-TIFF Deflate and predictor, 16 bit, tiles 512", "deflate-predictor.ome.tiff", True),
    ("OME-TIFF Deflate and predictor, 8 bit, tiles 512", "deflate-predictor-8bit.ome.tiff", True),
    ("OME-TIFF LZW and predictor, 16 bit, tiles 512", "lzw-predictor.ome.tiff", False),
    ("OME-TIFF uncompressed, 16 bit, tiles 512", "raw.ome.tiff", False),
    ("OME-Zarr 0.4 blosc lz4 shuffle, 16 bit, chunks 1024", "blosc-lz4.ome.zarr", True),
    ("OME-Zarr 0.5 blosc zstd shuffle, 16 bit, chunks 1024", "blosc-zstd.ome.zarr", True),
    ("OME-Zarr 0.5 zstd, 16 bit, chunks 1024", "zstd.ome.zarr", False),
    ("OME-Zarr 0.4 zlib, 16 bit, chunks 1024", "zlib.ome.zarr", False),
]
REFERENCE = {"czi": "pylibCZIrw", "tiff": "tifffile", "zarr": "zarr-python"}
# What opening a CZI of a million sub-blocks may take, in bytes for each of them and in seconds, and what inspecting, drawing
# and partly reading any image may take, in bytes.
BYTES_PER_SUB_BLOCK, OPENING_SECONDS, MOST_BYTES = 150, 5, 300e6
# A process that has less of its processor than this was disturbed by other programs.
QUIET = 0.95


def call(command, processor):
    """Runs a command that prints JSON on one processor; returns that, and the most memory that it held, in bytes."""
    def pin():
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {processor})

    # Threads that libraries would start; those of Python's readers are set in reference_reader.py.
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "BLOSC_NTHREADS", "OPENBLAS_NUM_THREADS"), "1")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=pin, env=environment)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"Benchmarks/formats: failed with {process.returncode}: {' '.join(command)}")
    return json.loads(output), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def bytes_of(path):
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)


def reading(folder, options):
    """Reads whole planes in turns with Kachel and with the reference reader; returns what is too slow."""
    print(f"Reading a plane of {options.side} x {options.side} on one thread, in megabytes of pixels per second of the"
          f" processor's time\n(median of {options.rounds} x {options.times} times)\n")
    print(f"{'':53} {'file MB':>7} {'Kachel':>7} {'reference':>16} {'ratio':>6} {'by the clock':>12}")
    failures, disturbed = [], False
    for name, file, required in READ:
        if options.only and options.only not in name:
            continue
        path = f"{folder}/{file}"
        commands = (
            [options.binaries + "/KachelBenchmarks", "read-image", path, "--times", str(options.times)],
            [sys.executable, "Benchmarks/reference_reader.py", path, str(options.times)])
        clock, processor, contents = ([], []), ([], []), set()
        for _ in range(options.rounds):
            for index, command in enumerate(commands):
                report, _ = call(command, options.processor)
                clock[index].extend(report["seconds"])
                processor[index].extend(report["processorSeconds"])
                contents.add((report["sha256"], *report["size"]))
        if len(contents) != 1:
            sys.exit(f"Benchmarks/formats: Kachel and the reference reader see different pixels in {path}")
        (kachel, reference), (kachel_clock, reference_clock) = (
            [statistics.median(values) for values in pair] for pair in (processor, clock))
        disturbed |= min(kachel / kachel_clock, reference / reference_clock) < QUIET
        size, package = options.side ** 2 * (1 if "8 bit" in name else 2), REFERENCE[file.rsplit(".", 1)[1]]
        print(f"{name:53} {bytes_of(path) / 1e6:7.0f} {size / kachel / 1e6:7.0f}"
              f" {package + f'{size / reference / 1e6:5.0f}':>16} {reference / kachel:6.2f}"
              f" {reference_clock / kachel_clock:12.2f}{'' if required else '  (for comparison)'}", flush=True)
        if required and reference < kachel:
            failures.append(f"{name}: {kachel / reference:.2f} times as long as {package}")
    if disturbed:
        print("note: other programs used the processor too; measure again where the machine has nothing else to do")
    return failures


def huge_images(folder, options):
    """Opens, inspects and reads images that no memory holds; returns what needs too much."""
    program = options.binaries + "/KachelBenchmarks"
    for name, columns, rows, every in [("million.czi", 1000, 1000, 1), ("sparse.czi", 221, 218, 10)]:
        subprocess.run([program, "make-sparse-slide", str(columns), str(rows), f"{folder}/{name}", "--from", SOURCE,
                        "--every", str(every)], check=True)
    million, _ = call([program, "read-image", f"{folder}/million.czi", "--side", "1024", "--times", "3"],
                      options.processor)
    seconds, each = statistics.median(million["opening"]), million["openingBytes"] / 1e6
    print(f"\nOpening a CZI of a million sub-blocks: {seconds:.2f} s, {each:.0f} bytes for each")
    failures = []
    if seconds > OPENING_SECONDS:
        failures.append(f"opening a million sub-blocks: {seconds:.1f} s instead of {OPENING_SECONDS}")
    if each > BYTES_PER_SUB_BLOCK:
        failures.append(f"opening a million sub-blocks: {each:.0f} bytes for each instead of {BYTES_PER_SUB_BLOCK}")
    print(f"\n{'':53} {'seconds':>7} {'peak MB':>7}")
    for image, file in [("sparse CZI of 226304 x 223232 pixels", "sparse.czi"),
                        ("OME-Zarr of 100000 x 100000 pixels", "huge.ome.zarr")]:
        for what, command in [
            ("inspect", [f"{options.binaries}/kachel", "inspect", "--json", f"{folder}/{file}"]),
            ("draw a thumbnail of", [f"{options.binaries}/kachel", "inspect", "--json", f"{folder}/{file}", "--thumbnail",
                                     f"{folder}/{file}.png", "--quiet"]),
            ("read 4096 x 4096 pixels of", [program, "read-image", f"{folder}/{file}", "--side", "4096"]),
        ]:
            report, peak = call(command, options.processor)
            took = f"{report['seconds'][0]:7.2f}" if "seconds" in report else f"{'':7}"
            print(f"{what + ' a ' + image:53} {took} {peak / 1e6:7.0f}")
            if peak > MOST_BYTES:
                failures.append(f"{what} a {image}: {peak / 1e6:.0f} MB instead of {MOST_BYTES / 1e6:.0f}")
    return failures


def main():
    parser = argparse.ArgumentParser(
        prog="Benchmarks/formats",
        description="How fast images are read and labels written, beside the reference software of their formats, and"
        " what huge images need. Exits with 1 where Kachel is slower or needs more than it should.")
    parser.add_argument("--side", type=int, default=8192, help="of the images that are compared (default: 8192)")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each reader for an image (default: 5)")
    parser.add_argument("--times", type=int, default=3, help="how often each of them reads it (default: 3)")
    parser.add_argument("--only", help="only read, and only images whose name contains this text")
    parser.add_argument("--scratch", help="where the images are kept while they are needed (default: $TMPDIR)")
    parser.add_argument("--processor", type=int, default=max(getattr(os, "sched_getaffinity", lambda _: {0})(0)),
                        help="the processor that the readers run on (default: the last)")
    parser.add_argument("--binaries", help=argparse.SUPPRESS, required=True)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="kachel-benchmarks-", dir=options.scratch) as folder:
        # 14 images of at most two bytes a pixel, and about 300 MB of the huge ones.
        needed, free = 28 * options.side ** 2 + (300 << 20), shutil.disk_usage(folder).free
        if free < needed:
            sys.exit(f"Benchmarks/formats: needs {needed >> 20} MB in {folder}, which has {free >> 20} MB; see --scratch")
        print("makes images", file=sys.stderr)
        subprocess.run([sys.executable, "Benchmarks/make_images.py", folder, str(options.side)], check=True)
        failures = reading(folder, options)
        if not options.only:
            print()
            failures += writing(folder, options) + huge_images(folder, options)
    print()
    for failure in failures:
        print(f"FAIL  {failure}")
    if not failures:
        print("pass  Kachel reads and writes at least as fast as it should, and holds no more memory than it may")
    sys.exit(1 if failures else 0)


main()
