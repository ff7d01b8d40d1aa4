# SPDX-License-Identifier: Apache-2.0
"""Compares writing OME-Zarr labels with zarr-python; `writing` is its one function for other scripts.

By itself, with a Python that has zarr and Pillow and from the repository's root:

    python3 Benchmarks/writing.py --binaries Benchmarks/.build/release
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

PICTURE = "Examples/nuclei-mosaic-truth.png"
# How many times as fast as zarr-python Kachel must be, with whatever compression that uses.
RATIO = 2
WAYS = [("OME-Zarr 0.4", "0.4", None), ("OME-Zarr 0.5", "0.5", None), ("OME-Zarr 0.5, shards 4096", "0.5", 4096)]


def call(command, folder, processor):
    """Runs a command that prints JSON on one processor, with an empty folder to write into."""
    def pin():
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {processor})

    os.mkdir(folder)
    try:
        result = subprocess.run(command, check=True, stdout=subprocess.PIPE, preexec_fn=pin)
    finally:
        shutil.rmtree(folder)
    return json.loads(result.stdout)


def writing(folder, options):
    """Writes labels in turns with Kachel and with zarr-python; returns what is too slow.

    Of the options it uses `binaries`, `side`, `rounds`, `times` and `processor`.
    """
    print(f"Writing labels of {options.side} x {options.side} pixels, chunks 1024, on one thread: milliseconds of the"
          f" processor's time for the full\nresolution, and of Kachel with the pyramid (median of {options.rounds} x"
          f" {options.times} times)\n")
    print(f"{'':34} {'pyramid':>7} {'Kachel':>7} {'zarr-python':>11} {'ratio':>5} {'by the clock':>12}   with zstd 1"
          f" {'ratio':>5}")
    failures, output = [], f"{folder}/written"
    for name, version, shard in WAYS:
        for dtype in ("uint8", "uint16"):
            kachel = [f"{options.binaries}/KachelBenchmarks", "write-image", PICTURE, output, "--side",
                      str(options.side), "--type", dtype, "--zarr", version, "--times", str(options.times)]
            if shard:
                kachel += ["--shard", str(shard)]
            commands = [kachel, kachel + ["--levels", "1"]] + [
                [sys.executable, "Benchmarks/reference_writer.py", PICTURE, output, str(options.side), dtype, version,
                 str(shard).lower(), level, str(options.times)] for level in ("default", "1")]
            clock, processor = [[] for _ in commands], [[] for _ in commands]
            for _ in range(options.rounds):
                for index, command in enumerate(commands):
                    report = call(command, output, options.processor)
                    clock[index].extend(report["seconds"])
                    processor[index].extend(report["processorSeconds"])
            pyramid, ours, reference, equal = (statistics.median(values) * 1000 for values in processor)
            ratios = reference / ours, equal / ours
            print(f"{name + ', ' + dtype:34} {pyramid:7.0f} {ours:7.0f} {reference:11.0f} {ratios[0]:5.2f}"
                  f" {statistics.median(clock[2]) / statistics.median(clock[1]):12.2f} {equal:13.0f} {ratios[1]:5.2f}",
                  flush=True)
            if min(ratios) < RATIO:
                failures.append(f"{name}, {dtype}: {min(ratios):.2f} times as fast as zarr-python, not {RATIO}")
    return failures


def main():
    parser = argparse.ArgumentParser(prog="Benchmarks/writing.py", description=writing.__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=8192, help="of the labels (default: 8192)")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each writer (default: 5)")
    parser.add_argument("--times", type=int, default=3, help="how often each of them writes (default: 3)")
    parser.add_argument("--scratch", help="where the labels are kept while they are needed (default: $TMPDIR)")
    parser.add_argument("--processor", type=int, default=max(getattr(os, "sched_getaffinity", lambda _: {0})(0)),
                        help="the processor that the writers run on (default: the last)")
    parser.add_argument("--binaries", required=True, help="the folder of KachelBenchmarks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kachel-benchmarks-", dir=options.scratch) as folder:
        failures = writing(folder, options)
    print()
    for failure in failures:
        print(f"FAIL  {failure}")
    if not failures:
        print(f"pass  Kachel writes labels at least {RATIO} times as fast as zarr-python")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
