# SPDX-License-Identifier: Apache-2.0
"""Checks of scripts/check-interop: other programs read the model packages that Kachel writes.

Packages and converts the models of the reference data; czmodel unpacks the results and says what it finds; onnx checks
their graphs, and ONNX Runtime compares what they give; napari-czann-segment predicts the labels that Kachel does.

    packages.py KACHEL DATA RESULTS
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import numpy
import onnx
import onnxruntime
import zarr
from czmodel.core.util._extract_model import extract_czann_model, extract_czseg_model
from napari_czann_segment.predict import predict_ndarray
from PIL import Image

from checks import check, finish


def members(path):
    with zipfile.ZipFile(path) as archive:
        check(archive.testzip() is None, f"{path.name}: is damaged")
        return {item.filename: archive.read(item) for item in archive.infolist()}


def network(path):
    """The ONNX of a package, checked; None where it is a SavedModel."""
    graph = next(content for name, content in members(path).items() if name.endswith(".model"))
    if graph.startswith(b"PK"):
        return None
    onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)
    return graph


def unpack(path):
    """The metadata as czmodel reads them."""
    extract = extract_czann_model if path.suffix == ".czann" else extract_czseg_model
    with tempfile.TemporaryDirectory() as folder:
        metadata, model = extract(str(path), pathlib.Path(folder))
        check(pathlib.Path(model).suffix == ".model", f"{path.name}: czmodel finds the model {model}")
    return metadata


def results(graph, pixels):
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: pixels})[0]


def shape(graph, side=96):
    dimensions = onnx.load_from_string(graph).graph.input[0].type.tensor_type.shape.dim
    sizes = [item.dim_value for item in dimensions]
    return [1, sizes[1] or side, sizes[2] or side, sizes[3]]


def agree(raw, scaled, largest, text):
    """Two networks, one fed raw values and the other values from 0 to 1, give the same."""
    pixels = numpy.random.default_rng(5).integers(0, largest + 1, shape(raw)).astype(numpy.float32)
    before, after = results(raw, pixels), results(scaled, pixels / numpy.float32(largest))
    difference = float(abs(before - after).max())
    check(difference <= 1e-5, f"{text}: results differ by {difference}")


def main(kachel, data, folder):
    kachel, data, folder = pathlib.Path(kachel).resolve(), pathlib.Path(data).resolve(), pathlib.Path(folder)

    def run(*arguments):
        done = subprocess.run([kachel, *map(str, arguments)], cwd=folder, capture_output=True, text=True)
        check(done.returncode == 0, f"kachel {' '.join(map(str, arguments))}: {done.stderr}")

    print("model packages")
    models = data / "models"

    # Read and written without a change: what was in the package is in it.
    for path in [
        *models.glob("tf/**/*.czmodel"), *models.glob("tf/**/*.czann"), *models.glob("torch/*.cz*"),
        *models.glob("oad/*.czann"), *models.glob("zenstyle/*.czseg"),
    ]:
        copy = folder / ("copy" + path.suffix)
        run("convert", path, copy, "--overwrite")
        if copy.exists():
            check(members(copy) == members(path), f"{path.name}: its copy has another content")
            copy.unlink()

    # From the old generation to the new one, and back.
    old = {
        "tf/v120/seed_onnx12.czmodel": 65535, "tf/v120/unet_onnx12.czmodel": 255, "tf/v510/nuclei_legacy.czmodel": 65535,
        "tf/unet_rgb/unet_rgb.czmodel": 255, "tf/seed_nuclei/simple_nuclei_segmodel.czmodel": 65535,
        "tf/oad_unet/oad_unet.czmodel": 255,
    }
    for name, largest in old.items():
        source, new, again = models / name, folder / "new.czann", folder / "again.czmodel"
        colors = 3 if "unet_" in name and "oad" not in name else 1
        types = {(255, 1): "Gray8", (65535, 1): "Gray16", (255, 3): "Bgr24"}
        run("convert", source, new, "--overwrite")
        run("convert", new, again, "--pixel-type", types[largest, colors], "--overwrite")
        metadata, before = unpack(new), unpack(source)
        check(metadata.classes == [item.name for item in before.classes], f"{name}: czmodel reads {metadata.classes}")
        check(list(metadata.min_overlap) == [2 * int(before.border_size)] * 2, f"{name}: czmodel reads another border")
        unpacked = unpack(again)
        check(
            [item.name for item in unpacked.classes] == metadata.classes and unpacked.border_size == before.border_size,
            f"{name}: czmodel reads {unpacked}")
        scaled, raw, original = network(new), network(again), network(source)
        check(scaled is not None and raw is not None, f"{name}: did not become ONNX")
        agree(raw, scaled, largest, name)
        if original is not None:
            agree(original, scaled, largest, f"{name} as it was")

    # Made of parts.
    spec = models / "tf/seed_nuclei/model_spec.json"
    run("package", "--spec", spec, "-o", "spec.czmodel")
    found, said = unpack(folder / "spec.czmodel"), json.loads(spec.read_text())
    check([item.name for item in found.classes] == said["Classes"], f"spec.czmodel: czmodel reads {found.classes}")
    check(int(found.border_size) == said["BorderSize"], "spec.czmodel: czmodel reads another border")
    run("unpack", models / "tf/v510/nuclei_seg.czann", "-o", "parts")
    run("package", "--spec", "parts/spec.json", "-o", "parts.czann")
    check(members(folder / "parts.czann") == members(models / "tf/v510/nuclei_seg.czann"), "parts.czann: other content")

    # The same labels: of one tile, and of many with a network without strides (napari's tiles do not lie on a stride).
    run("convert", data / "example/nuclei.czmodel", "nuclei.czann")
    run("package", models / "oad/simple_pytorch_nuclei_segmodel_pytorch.czann", "--name", "simple", "-o", "simple.czann")
    picture = numpy.asarray(Image.open(sorted((data / "nuclei_large/images").glob("*"))[0]))
    picture = (picture / (picture.max() / 255)).astype(numpy.uint8)
    for name, pixels in [("nuclei", picture[300:812, 400:912]), ("simple", picture[:1100, :1300])]:
        Image.fromarray(pixels).save(folder / f"{name}.png")
        labels = predict_ndarray(str(folder / f"{name}.czann"), pixels)[1]
        run("segment", f"{name}.png", "--model", f"{name}.czann", "-o", f"{name}.ome.zarr", "--quiet")
        ours = numpy.asarray(zarr.open_group(folder / f"{name}.ome.zarr", mode="r")["0"]).reshape(pixels.shape)
        differing = int((numpy.asarray(labels).reshape(pixels.shape) != ours).sum())
        # Scores of two engines differ by 1e-6, which decides single pixels between two classes.
        check(differing <= 3, f"{name}: napari-czann-segment gives {differing} other labels of {pixels.size}")
        check(set(numpy.unique(ours)) == {1, 2}, f"{name}: the labels are {numpy.unique(ours)}")

    finish("packages")


if __name__ == "__main__":
    main(*sys.argv[1:])
