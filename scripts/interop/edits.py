# SPDX-License-Identifier: Apache-2.0
"""Checks of scripts/check-interop: other programs run the networks that Kachel edited.

Packages networks with layers before them and other sizes, unpacks them, and compares what ONNX Runtime and TensorFlow
compute with what they compute of the original network after the same layers in NumPy. onnx checks every ONNX file.
TENSORFLOW_PYTHON names a Python that has TensorFlow; without one SavedModels are not checked.

    edits.py KACHEL DATA RESULTS
    edits.py run SAVEDMODEL INPUT.npy OUTPUT.npy        with TensorFlow
"""

import os
import pathlib
import subprocess
import sys
import zipfile

import numpy

from checks import check, finish


def reverse(image):
    return image[..., ::-1]


def standardize(image):
    mean = image.mean(axis=(1, 2, 3), keepdims=True)
    deviation = image.std(axis=(1, 2, 3), keepdims=True)
    return (image - mean) / numpy.maximum(deviation, 1 / numpy.sqrt(image[0].size))


# The layers by their names, and what they do to an image of batch, height, width, channels.
GRAY = {
    "rgb-to-bgr": reverse, "per-image-standardization": standardize,
    "normalization=0.1/2": lambda image: (image - 0.1) / 2, "scale=3": lambda image: image * 3,
}
COLORS = {
    "rgb-to-bgr": reverse, "per-image-standardization": standardize,
    "transpose-channels=1,2,0": lambda image: image[..., [1, 2, 0]],
    "normalization=0.1,0.2,0.3/2,1.5,1": lambda image: (image - [0.1, 0.2, 0.3]) / [2, 1.5, 1],
    "shift=0.1,0.2,0.3": lambda image: image + [0.1, 0.2, 0.3], "scale=2": lambda image: image * 2,
}
FREE = ["--classes", "Background,Nucleus", "--pixel-type", "Gray8", "--color-handling", "ConvertToMonochrome",
        "--border", "8"]
# What is packaged as what, the layers, the shape of the input, and whether this size is set or the network's own.
CASES = [
    ("example/nuclei.czann", "gray.czann", GRAY, (2, 128, 192, 1), True, ["--border", "8"]),
    ("models/tf/v510/unet_transposechannels.czann", "colors-12.czann", COLORS, (2, 64, 96, 3), False, []),
    ("models/torch/torch_from_json.czann", "colors-18.czann", COLORS, (2, 64, 64, 3), False, []),
    ("models/tf/unet_rgb/unet_rgb.czmodel", "colors.czmodel", COLORS, (2, 64, 96, 3), False, []),
    ("models/tf/seed_nuclei/saved_tf2_model_output_dims_unset", "gray.czmodel", GRAY, (2, 128, 192, 1), True, FREE),
]


def run_onnx(path, image):
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name, = (value.name for value in session.get_inputs())
    return session.run(None, {name: image})[0]


def run_tensorflow(folder, image):
    source, target = folder.parent / "input.npy", folder.parent / "output.npy"
    numpy.save(source, image)
    subprocess.run(
        [os.environ["TENSORFLOW_PYTHON"], __file__, "run", str(folder), str(source), str(target)], check=True)
    return numpy.load(target)


def run(path, image):
    return run_tensorflow(path, image) if path.is_dir() else run_onnx(path, image)


def original(path, folder):
    """The network of a package or folder as it is, laid out in a new folder."""
    if path.is_dir():
        return path
    with zipfile.ZipFile(path) as package:
        name, = (name for name in package.namelist() if name.endswith(".model"))
        content = package.read(name)
    folder.mkdir()
    file = folder / "original.onnx"
    file.write_bytes(content)
    if not content.startswith(b"PK"):
        return file
    with zipfile.ZipFile(file) as model:
        model.extractall(folder / "original")
    return folder / "original"


def edited(program, path, name, layers, shape, sets_size, options, results):
    """The network that Kachel makes, unpacked."""
    package, folder = results / name, results / f"{name}-unpacked"
    arguments = ["package", path, "-o", package, *options]
    for layer in layers:
        arguments += ["--preprocess", layer]
    if sets_size:
        arguments += ["--tile", f"{shape[2]}x{shape[1]}"]
    for arguments in (arguments, ["unpack", package, "-o", folder]):
        result = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
        if not check(result.returncode == 0, f"kachel {arguments[0]} of {path.name}: {result.stderr.strip()}"):
            return None
    graphs = [*folder.rglob("*.onnx"), *(file.parent for file in folder.rglob("saved_model.pb"))]
    return graphs[0] if check(len(graphs) == 1, f"{name}: {len(graphs)} networks are unpacked") else None


def main(program, data, results):
    random = numpy.random.default_rng(1)
    for source, name, layers, shape, sets_size, options in CASES:
        path = data / source
        if name.endswith(".czmodel") and "TENSORFLOW_PYTHON" not in os.environ:
            print(f"  {name}: not checked, as there is no Python for TensorFlow")
            continue
        graph = edited(program, path, name, layers, shape, sets_size, options, results)
        if graph is None:
            continue
        image = random.random(shape, numpy.float32) + numpy.arange(shape[3], dtype=numpy.float32) / 3
        steps = image.astype(numpy.float64)
        for layer in layers.values():
            steps = layer(steps)
        expected = run(original(path, results / f"{name}-original"), steps.astype(numpy.float32))
        found = run(graph, image)
        difference = numpy.abs(found - expected).max() if found.shape == expected.shape else numpy.inf
        check(difference <= 1e-5, f"{name}: differs from the separate steps by {difference}")
        check(expected.std() > 1e-3, f"{name}: its result is the same everywhere")
        print(f"  {name}: {len(layers)} layers, {found.shape}, differs by {difference:.1e}")
    finish("edited networks")


def run_here(folder, source, target):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow

    function = tensorflow.saved_model.load(folder).signatures["serving_default"]
    name, = function.structured_input_signature[1]
    result, = function(**{name: tensorflow.constant(numpy.load(source))}).values()
    numpy.save(target, result.numpy())


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run_here(*sys.argv[2:])
    else:
        main(sys.argv[1], *map(pathlib.Path, sys.argv[2:]))
