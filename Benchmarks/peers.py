# SPDX-License-Identifier: Apache-2.0
"""Runs the race, and prints what it found; started by Benchmarks/peers."""

import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

from processes import Failed, run

# What Kachel's time may be of that of the engine alone, and what that of the fastest peer must be of Kachel's.
ENGINE_RATIO, PEER_RATIO = {"two-layer": 1.3}, {"two-layer": 3}
MEMORY_RATIO, MEMORY_SIDE = 5, 16384
# The engine alone keeps this share of its threads busy, if nothing else needs the processors.
QUIET = 0.9

MODELS = {
    "example": "U-Net, 0.27 M parameters (Examples)", "two-layer": "two convolutions, 194 parameters",
    "pgc": "EfficientNet U-Net, 5.0 M parameters (PGC)", "unet": "U-Net, 7.76 M parameters"}
# Networks that need many minutes for a large image.
HEAVY, LARGE = ("pgc", "unet"), 8192
KACHEL, ZARR = "kachel", "kachel-zarr"
# The whole network, and the part of it that Kachel runs.
ENGINE, LOGITS = "engine", "engine-logits"
ENGINES = {ENGINE: "the engine alone", LOGITS: "the engine alone, no softmax"}
PEERS = {
    "napari_czann_segment": ("napari-czann-segment 0.1.2", "tile {tile}, border {border}, batch 8 (its default)"),
    "monai_onnxruntime": ("MONAI 1.6.1, ONNX Runtime 1.32", "tile {tile}, overlap {overlap}, batch 1"),
    "monai_pytorch": ("MONAI 1.6.1, PyTorch 2.13", "tile {tile}, overlap {overlap}, batch 1, channels last"),
    "bioimageio_core": ("bioimageio.core 0.11, ONNX Runtime 1.32", "block {tile}, halo {border}"),
    "cztile_tensorflow": ("cztile 2.0, TensorFlow 2.15", "tile {tile}, border {border}, batch 1, oneDNN")}
PROGRAMS = [KACHEL, ZARR, *ENGINES, *PEERS]


class Race:
    """The networks and images, and the measurements of one pair of them."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.data = pathlib.Path(options.data)
        self.pictures = {"pgc": str(self.data / "napari_czann_segment/PGC_20X.czi")}
        allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.processors = allowed[:options.threads] or None

    def tool(self, python, script, *arguments):
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        return subprocess.run([python, f"Benchmarks/{script}", *map(str, arguments)], check=True, env=environment,
                              stdout=subprocess.PIPE, text=True).stdout

    def image(self, model, side):
        """The image without its extension; made where it is not there."""
        base = f"{self.folder}/{'pgc' if model == 'pgc' else 'nuclei'}-{side}"
        if not os.path.exists(f"{base}.ome.zarr"):
            say(f"makes an image of {side} x {side}")
            self.tool(self.options.formats, "peers_images.py", "make", self.pictures.get(model, "nuclei"), side, base)
        return base

    def model(self, name, image):
        path = f"{self.folder}/{name}.json"
        if not os.path.exists(path):
            say(f"makes the forms of {name}")
            self.tool(self.options.peers, "peers_models.py", self.folder, f"{self.options.binaries}/kachel", self.data,
                      f"{image}.npy", name)
            forms = json.loads(pathlib.Path(path).read_text())
            if "weights" in forms:
                self.tool(self.options.tensorflow, "peers_unet.py", forms["weights"], forms["saved_model"])
        return json.loads(pathlib.Path(path).read_text())

    def measure(self, name, side):
        """What every program took for a network and an image, in turns."""
        image = self.image(name, side)
        model = self.model(name, image)
        group = {"model": name, "side": side, "tile": model["tile"], "border": model["border"],
                 "threads": self.options.threads, "memory": self.options.memory, "programs": {}}
        programs = group["programs"]
        for number in range(self.options.rounds):
            for program in [program for program in PROGRAMS if program in self.options.only]:
                kachel_ran = bool(programs.get(KACHEL, {}).get("runs"))
                if program == "cztile_tensorflow" and "saved_model" not in model:
                    programs[program] = {"note": "not run: there is no SavedModel of it"}
                elif program in ENGINES and not kachel_ran:
                    programs[program] = {"note": "not run: it takes the tiles of a run of kachel"}
                else:
                    say(f"{name}, {side} x {side}, round {number + 1}: {program}")
                    entry = programs.setdefault(program, {"runs": []})
                    try:
                        entry["runs"].append(self.run(program, name, model, image))
                    except Failed as failure:
                        entry["note"] = f"failed: {failure}"
                        say(entry["note"])
                        continue
                    if number == 0 and program not in (KACHEL, *ENGINES) and kachel_ran:
                        entry["differing"] = float(self.tool(self.options.formats, "peers_images.py", "compare",
                                                             self.labels(program), self.labels(KACHEL)))
        for program in PROGRAMS:
            remove(self.labels(program))
        return group

    def labels(self, program):
        return f"{self.folder}/{program}-labels.{'ome.zarr' if program in (KACHEL, ZARR) else 'npy'}"

    def run(self, program, name, model, image):
        report, labels = f"{self.folder}/{program}.json", self.labels(program)
        binaries, threads = self.options.binaries, str(self.options.threads)
        if program in (KACHEL, ZARR):
            command = [f"{binaries}/kachel", "segment", f"{image}.{'czi' if program == KACHEL else 'ome.zarr'}",
                       "--model", model["package"], "-o", labels, "--threads", threads, "--json", "--quiet"]
            command += ["--memory", self.options.memory] if self.options.memory else []
        elif program in ENGINES:
            command = [f"{binaries}/KachelBenchmarks", "engine-only", f"{image}.czi", f"{self.folder}/{KACHEL}.json",
                       "--model", model["package"], *(["--logits"] if program == LOGITS else [])]
        else:
            python = self.options.tensorflow if program == "cztile_tensorflow" else self.options.peers
            command = [python, "Benchmarks/peers_run.py", program, f"{self.folder}/{name}.json", f"{image}.npy", labels,
                       threads]
        remove(labels)
        errors = pathlib.Path(f"{self.folder}/errors")
        try:
            with open(report, "w") as output, open(errors, "w") as said:
                wall, processor, peak = run(command, output, said, self.processors)
        except Failed as failure:
            lines = [line.strip() for line in errors.read_text(errors="replace").split("\n") if line.strip()]
            raise Failed(lines[-1][:200] if lines else str(failure)) from failure
        result = json.loads(pathlib.Path(report).read_text())
        # The programs' start, their modules and their networks are no part of the peers' and the engine's work.
        work = result["seconds"] if program in ENGINES else wall - result.get("loading", 0)
        processor = result.get("processorSeconds", processor)
        measured = {"wall": wall, "work": work, "processor": processor, "peak": peak}
        if program in (KACHEL, ZARR):
            tiles = result["tiles"]
            measured["setting"] = f"tile {'x'.join(map(str, tiles['size']))}, halo {tiles['halo'][0]}"
        return measured


def say(text):
    print(f"Benchmarks/peers: {text}", file=sys.stderr, flush=True)


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.remove(path)


def summary(group):
    """The rows of a table: medians of the rounds, and the medians of their ratios to Kachel of the same round."""
    programs = group["programs"]
    base = programs.get(KACHEL, {}).get("runs", [])
    rows = []
    for program in [program for program in PROGRAMS if program in programs]:
        entry, runs = programs[program], programs[program].get("runs", [])
        title, setting = PEERS.get(program) or {
            KACHEL: ("Kachel, CZI", ""), ZARR: ("Kachel, OME-Zarr", "")
        }.get(program) or (ENGINES[program], "Kachel's tiles")
        setting = setting.format(
            tile=group["tile"], border=group["border"], overlap=f"{2 * group['border'] / group['tile']:g}")
        if not runs or "note" in entry:
            rows.append({"program": program, "title": title, "note": entry.get("note", "not run")})
            continue
        row = {"program": program, "title": title, "setting": runs[0].get("setting") or setting,
               "peak": max(run["peak"] for run in runs), "differing": entry.get("differing"), "rounds": len(runs)}
        if program in ENGINES:
            # It holds the pixels of many tiles, which says nothing of the engine.
            row["peak"] = None
        for key in ("wall", "work", "processor"):
            row[key] = statistics.median(run[key] for run in runs)
        # Where a program failed in a round, the rounds of both no longer match.
        if len(base) == len(runs):
            row["ratio"] = statistics.median(run["work"] / other["work"] for run, other in zip(runs, base))
            row["memory"] = row["peak"] and row["peak"] / max(run["peak"] for run in base)
        rows.append(row)
    return rows


def cell(value, form):
    return "" if value is None else format(value, form)


def print_table(group, rows):
    side = group["side"]
    rounds = max((row.get("rounds", 0) for row in rows), default=0)
    memory = f"; Kachel has --memory {group['memory']}" if group["memory"] else ""
    print(f"\n### {MODELS[group['model']]}, {side} x {side}\n")
    print(f"{group['threads']} threads, median of {rounds} round{'s' * (rounds != 1)}{memory}\n")
    print("| program | setting | seconds | Mpx/s | times Kachel's | peak MB | times Kachel's | labels that differ |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        if "note" in row:
            print(f"| {row['title']} | {row['note']} | | | | | | |")
            continue
        differing = "" if row["differing"] is None else f"{row['differing'] * 1e6:.0f} ppm"
        print(f"| {row['title']} | {row['setting']} | {row['work']:.1f} | {side * side / row['work'] / 1e6:.2f}"
              f" | {cell(row.get('ratio'), '.2f')} | {cell(row['peak'] and row['peak'] / 2**20, '.0f')}"
              f" | {cell(row.get('memory'), '.2f')} | {differing} |")


def targets(group, rows):
    """What Kachel must reach, as texts and whether it does."""
    by_name = {row["program"]: row for row in rows if row.get("ratio")}
    model, side = group["model"], group["side"]
    peers = [row for name, row in by_name.items() if name in PEERS]
    if KACHEL not in by_name:
        return
    if ENGINE in by_name:
        ratio, limit = 1 / by_name[ENGINE]["ratio"], ENGINE_RATIO.get(model, 1.05)
        yield f"{ratio:.3f} x the time of the engine alone (at most {limit})", ratio <= limit
    if peers:
        fastest = min(peers, key=lambda row: row["ratio"])
        limit = PEER_RATIO.get(model, 1.5)
        yield (f"{fastest['ratio']:.2f} x as fast as the fastest peer, {fastest['title']} (at least {limit})",
               fastest["ratio"] >= limit)
        if side >= MEMORY_SIDE:
            leanest = min(peers, key=lambda row: row["memory"])
            for row, kind in [(leanest, "leanest")] + [(fastest, "fastest")] * (fastest is not leanest):
                yield (f"{row['memory']:.1f} x less peak memory than the {kind} peer, {row['title']} (at least"
                       f" {MEMORY_RATIO})", row["memory"] >= MEMORY_RATIO)


def processor_name():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().split("\n")
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def report(groups, options, not_run):
    print(f"\n{processor_name()}. Of Kachel's seconds everything is counted; of the peers' not their start, the import"
          " of modules and the loading of the network.")
    passed = True
    summaries = []
    for group in groups:
        rows = summary(group)
        print_table(group, rows)
        print()
        for text, reached in targets(group, rows):
            print(f"{'yes' if reached else 'NO '}  {text}")
            passed = passed and reached
        share = next((row["processor"] / row["work"] / group["threads"] for row in rows
                      if row["program"] == ENGINE and "note" not in row), 1)
        if share < QUIET:
            print(f"note  the engine alone had {share:.0%} of its {group['threads']} threads' time: measure again where"
                  " the machine has nothing else to do")
        passed = passed and not any(row.get("note", "").startswith("failed") for row in rows)
        summaries.append(
            {"title": MODELS[group["model"]], "side": group["side"], "threads": group["threads"], "rows": rows})
    for text in not_run:
        print(f"\nnot run: {text}")
    if options.chart and summaries:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(summaries, file)
            file.flush()
            subprocess.run([options.peers, "Benchmarks/peers_chart.py", file.name, options.chart], check=True)
    return passed


def main():
    parser = argparse.ArgumentParser(
        prog="Benchmarks/peers",
        description="Segments images by Kachel and by other programs in turns. What was measured is kept, and a later"
        " call replaces what it measures anew; the tables and the chart show all that is kept.")
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS), help="default: all")
    parser.add_argument("--images", nargs="*", type=int, default=[4096, 16384], metavar="SIDE",
                        help="default: 4096 16384")
    parser.add_argument("--only", nargs="*", choices=PROGRAMS, default=PROGRAMS, help="programs; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3; 0 shows what is kept")
    parser.add_argument("--quick", action="store_true", help="one round of 1024 x 1024, to see whether all works")
    parser.add_argument("--heavy", action="store_true",
                        help=f"also {' and '.join(HEAVY)} on images of more than {LARGE} x {LARGE}: 10 minutes and more"
                        " for every run")
    parser.add_argument("--threads", type=int, default=2, help="of every program (default: 2)")
    parser.add_argument("--memory", default="1G", help="Kachel's limit, empty for its own default (default: 1G)")
    parser.add_argument("--data", default="../shared/data", help="the folder with the reference data, of two networks")
    parser.add_argument("--scratch", help="where images and labels are kept while they are needed (default: $TMPDIR)")
    parser.add_argument("--results", default="Benchmarks/.build/peers.json", help="what is kept (default: %(default)s)")
    parser.add_argument("--chart", default="Benchmarks/peers.png", 
                        help="the PNG to draw, empty for none (default: %(default)s)")
    parser.add_argument("--no-build", action="store_true", help="run what is in Benchmarks/.build/release")
    for name in ("binaries", "tensorflow", "formats", "peers"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS, required=True)
    options = parser.parse_args()
    if options.quick:
        options.images, options.rounds = [1024], 1

    results = pathlib.Path(options.results)
    groups = json.loads(results.read_text()) if results.exists() else []
    not_run, missing = [], not (pathlib.Path(options.data) / "models").is_dir()
    with tempfile.TemporaryDirectory(prefix="kachel-peers-", dir=options.scratch) as folder:
        race = Race(options, folder)
        for side in options.images if options.rounds else []:
            for name in options.models:
                if missing and name in ("two-layer", "pgc"):
                    not_run.append(f"{name}: there is no reference data in {options.data}; see --data")
                elif name in HEAVY and side > LARGE and not options.heavy:
                    not_run.append(f"{name} on {side} x {side}: takes very long; ask for it with --heavy")
                else:
                    group = race.measure(name, side)
                    groups = [other for other in groups if (other["model"], other["side"]) != (name, side)] + [group]
                    results.write_text(json.dumps(groups, indent=1))
    groups.sort(key=lambda group: (group["side"], list(MODELS).index(group["model"])))
    sys.exit(0 if report(groups, options, not_run) else 1)


try:
    main()
except subprocess.CalledProcessError as failure:
    sys.exit(f"Benchmarks/peers: failed with {failure.returncode}: {' '.join(failure.cmd)}")
