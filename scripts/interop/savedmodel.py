# SPDX-License-Identifier: Apache-2.0
"""Checks of scripts/check-interop: other programs read the ONNX that Kachel makes of SavedModels.

Converts the packages with a SavedModel of the reference data, and checks the network in each new package with onnx, runs
it with ONNX Runtime and OpenVINO, and compares their results with what TensorFlow gave.

    savedmodel.py KACHEL DATA RESULTS
"""

import io
import json
import pathlib
import re
import subprocess
import sys
import zipfile

import numpy
import onnx
import onnxruntime
import openvino

from checks import check, finish

TOLERANCE = 1e-5


def goldens(data, entry):
    """Inputs and what TensorFlow gave for them, of those that were not cut."""
    for golden in entry["golden"]:
        source, target = golden["input"], golden["output"]
        if source["shape"][:-1] == target["shape"][:-1]:
            pixels = numpy.load(data / source["path"]).astype(numpy.float32) / numpy.float32(golden["input_divisor"])
            yield pixels, numpy.load(data / target["path"])


def largest(path):
    """By what a .czann divides the numbers of an image that a .czmodel takes as they are."""
    with zipfile.ZipFile(path) as package:
        text = next(package.read(name).decode() for name in package.namelist() if name.endswith(".xml"))
    return 65535 if re.search('PixelType="(Gray16|Bgr48)', text) else 1 if "Float" in text else 255


def check_package(path, name, pairs, scale):
    with zipfile.ZipFile(path) as package:
        graph = package.read("model.model")
        shape = json.loads(package.read("model.json"))["InputShape"]
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model, full_check=True)
    check(sum(node.op_type == "Transpose" for node in model.graph.node) <= 2, f"{name}: has more than two transposes")
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    core = openvino.Core()
    network = core.compile_model(core.read_model(io.BytesIO(graph)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    if not pairs:
        pairs = [(numpy.random.default_rng(1).uniform(0, 1, [1, *shape]).astype(numpy.float32), None)]
    for pixels, expected in pairs:
        if expected is not None:
            pixels = pixels / numpy.float32(scale)
        one = session.run(None, {session.get_inputs()[0].name: pixels})[0]
        other = network(pixels)[0]
        difference = float(numpy.abs(one - other).max())
        check(difference <= TOLERANCE, f"{name}: ONNX Runtime and OpenVINO differ by {difference:.1e}")
        if expected is not None:
            difference = float(numpy.abs(one - expected).max())
            check(difference <= TOLERANCE, f"{name}: differs from TensorFlow by {difference:.1e}")


def main():
    kachel, data, results = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    manifest = json.loads((data / "models/manifest.json").read_text())
    entries = [entry for entry in manifest["models"] if entry.get("model_kind") == "savedmodel-zip"]
    packages = [(data / "models" / entry["path"], list(goldens(data / "models", entry))) for entry in entries]
    packages.append((data / "example/nuclei.czmodel", []))
    for number, (path, pairs) in enumerate(packages):
        target = results / f"converted-{number}.czann"
        done = subprocess.run([kachel, "convert", path, target], capture_output=True, text=True)
        check(done.returncode == 0, f"{path.name}: is not converted: {done.stderr.strip()}")
        if done.returncode == 0:
            check_package(target, path.name, pairs, largest(path))
    finish("converted SavedModels")


main()
