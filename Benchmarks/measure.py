# SPDX-License-Identifier: Apache-2.0
"""Makes slides, segments them, and prints what that cost; started by Benchmarks/run."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from processes import Failed, run

MODEL = "Examples/nuclei.czann"
SOURCE = "Examples/nuclei-mosaic.czi"
MEMORY = 1 << 30
# What a run may take longer than the engine alone, and what the largest slide may take more memory than the smallest.
RATIO, GROWTH = 1.15, 1.05
# A run that takes less than this share of the engine's time was measured on a machine that was busy with other things.
PLAUSIBLE = 0.95
# The engine alone keeps this share of its threads busy, if nothing else needs the processors.
QUIET = 0.9
# The seconds until a plan is made, with the program's start.
PLANNED = 1


def measure(side, folder, binaries, engine_tiles):
    slide, report = f"{folder}/{side}.czi", f"{folder}/{side}.json"
    labels = f"{folder}/{side}.ome.zarr"
    benchmarks = f"{binaries}/KachelBenchmarks"
    run([benchmarks, "make-slide", str(side), slide, "--from", SOURCE])
    print(f"{side} x {side}: {os.path.getsize(slide) / 1e6:.0f} MB", file=sys.stderr)
    with open(report, "w") as output:
        seconds, processor, peak = run(
            [f"{binaries}/kachel", "segment", slide, "--model", MODEL, "-o", labels, "--memory", f"{MEMORY >> 30}G",
             "--json"], output)
    shutil.rmtree(labels)
    with open(report) as file:
        provenance = json.load(file)
    tiles = provenance["tiles"]["count"]
    sample = min(tiles, engine_tiles or tiles)
    print(f"the engine alone, {sample} of {tiles} tiles", file=sys.stderr)
    # The part of the network that a run takes: Kachel leaves the softmax at its end out.
    engine = json.loads(subprocess.run(
        [benchmarks, "engine-only", slide, report, "--model", MODEL, "--tiles", str(sample), "--logits"],
        check=True, stdout=subprocess.PIPE).stdout)
    os.remove(slide)
    alone, alone_processor = (engine[key] * tiles / engine["tiles"] for key in ("seconds", "processorSeconds"))
    return {
        "side": side, "tiles": tiles, "size": "x".join(map(str, provenance["tiles"]["size"])),
        "streams": provenance["engine"]["streams"], "threads": provenance["engine"]["threads"], "wall": seconds,
        "rate": side * side / seconds / 1e6, "peak": peak,
        "engine": alone, "ratio": seconds / alone, "processor": processor, "alone_processor": alone_processor,
    }


def segment_sparse(folder, binaries):
    """Segments 65536 x 65536 pixels of which a 61st is there, and returns the seconds and the most memory."""
    slide, labels = f"{folder}/sparse.czi", f"{folder}/sparse.ome.zarr"
    run([f"{binaries}/KachelBenchmarks", "make-sparse-slide", "64", "64", slide, "--from", SOURCE, "--every", "61"])
    seconds, _, peak = run([f"{binaries}/kachel", "segment", slide, "--model", MODEL, "-o", labels, "--memory",
                            f"{MEMORY >> 30}G", "--quiet"], subprocess.DEVNULL)
    shutil.rmtree(labels)
    return seconds, peak


def plan(folder, binaries, every):
    """The seconds from the start of the program until it says how it will cut 316416 x 316416 pixels into tiles."""
    slide, labels = f"{folder}/plan-{every}.czi", f"{folder}/plan.ome.zarr"
    run([f"{binaries}/KachelBenchmarks", "make-sparse-slide", "309", "309", slide, "--from", SOURCE,
         "--every", str(every)])
    start = time.monotonic()
    process = subprocess.Popen(
        [f"{binaries}/kachel", "segment", slide, "--model", MODEL, "-o", labels, "--memory", f"{MEMORY >> 30}G"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = []
    for line in process.stderr:
        said.append(line)
        if " tiles of " in line:
            seconds = time.monotonic() - start
            process.send_signal(signal.SIGINT)
            process.stderr.read()
            process.wait()
            return seconds, line.strip()
    raise Failed("kachel ended before it had planned: " + "".join(said))


def measure_huge(options):
    with tempfile.TemporaryDirectory(prefix="kachel-benchmarks-", dir=options.scratch) as folder:
        plans = {every: plan(folder, options.binaries, every) for every in (1, 7)}
        seconds, peak = segment_sparse(folder, options.binaries)
    checks = []
    for every, (needed, line) in plans.items():
        part = "all of it" if every == 1 else f"one of {every} tiles"
        print(f"316416 x 316416, {part}: {needed:.2f} s until the plan: {line}")
        checks.append((f"100 gigapixels, {part}: planned in less than {PLANNED} s", needed < PLANNED))
    print(f"65536 x 65536, one of 61 tiles: {seconds:.0f} s, peak memory {peak / 2**20:.0f} MB")
    checks.append((f"65536 x 65536: peak memory under {MEMORY >> 20} MB", peak < MEMORY))
    for text, passed in checks:
        print(f"{'pass' if passed else 'FAIL'}  {text}")
    sys.exit(0 if all(passed for _, passed in checks) else 1)


def main():
    parser = argparse.ArgumentParser(
        prog="Benchmarks/run",
        description="Memory and time of segmenting large slides. The engine alone is timed on all tiles of the first "
        "slide and on as many of the others, from which its time for the rest follows.")
    parser.add_argument("sides", nargs="*", type=int, default=[16384, 32768], help="default: 16384 32768")
    parser.add_argument("--huge", action="store_true",
                        help="instead: the memory for 65536 x 65536 pixels, and the time to plan 100 gigapixels")
    parser.add_argument("--scratch", help="where slides and results are kept while they are needed (default: $TMPDIR)")
    parser.add_argument("--binaries", help=argparse.SUPPRESS, required=True)
    options = parser.parse_args()
    if options.huge:
        measure_huge(options)

    with tempfile.TemporaryDirectory(prefix="kachel-benchmarks-", dir=options.scratch) as folder:
        # A slide and its labels are never larger than a byte per pixel each.
        needed, free = 2 * max(options.sides) ** 2, shutil.disk_usage(folder).free
        if free < needed:
            sys.exit(f"Benchmarks/run: needs {needed >> 20} MB in {folder}, which has {free >> 20} MB; see --scratch")
        results = []
        for side in options.sides:
            results.append(measure(side, folder, options.binaries, results[0]["tiles"] if results else None))

    print(f"{'side':>6} {'tiles':>6} {'tile size':>10} {'streams':>7} {'wall s':>8} {'Mpx/s':>6} {'peak MB':>8}"
          f" {'engine s':>8} {'ratio':>6} {'cpu s':>8} {'engine cpu s':>12}")
    for r in results:
        print(f"{r['side']:6} {r['tiles']:6} {r['size']:>10} {r['streams']:7} {r['wall']:8.1f} {r['rate']:6.2f}"
              f" {r['peak'] / 2**20:8.0f} {r['engine']:8.1f} {r['ratio']:6.3f}"
              f" {r['processor']:8.1f} {r['alone_processor']:12.1f}")
    print("cpu s: what the processors worked; where other programs use them too, it says more than the wall's seconds")
    first, last = results[0], results[-1]
    checks = [(f"{r['side']}: peak memory under {MEMORY >> 20} MB", r["peak"] < MEMORY) for r in results]
    if len(results) > 1:
        checks.append((f"peak memory of {last['side']} at most {GROWTH} x that of {first['side']}",
                       last["peak"] <= GROWTH * first["peak"]))
    checks.append((f"{first['side']}: at most {RATIO} x the engine alone", first["ratio"] <= RATIO))
    for text, passed in checks:
        print(f"{'pass' if passed else 'FAIL'}  {text}")
    plausible = first["ratio"] >= PLAUSIBLE
    if not plausible:
        print(f"FAIL  {first['side']}: faster than the engine alone, so that other programs disturbed the measurement")
    share = first["alone_processor"] / first["engine"] / first["threads"]
    if share < QUIET:
        print(f"note  the engine alone had {share:.0%} of its {first['threads']} threads' time; measure again where the"
              " machine has nothing else to do")
    sys.exit(0 if plausible and all(passed for _, passed in checks) else 1)


try:
    main()
except Failed as failure:
    sys.exit(f"Benchmarks/run: {failure}")
