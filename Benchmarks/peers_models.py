# SPDX-License-Identifier: Apache-2.0
"""Brings the race's networks into the forms that its programs take; started by peers.py.

    peers_models.py FOLDER KACHEL DATA SAMPLE.npy MODEL...

Writes FOLDER/MODEL.json for every model: where its forms are, the tile that it is run with, and its border.
"""

import io
import json
import pathlib
import subprocess
import sys
import uuid
import zipfile

import numpy
import onnx
import onnxruntime
from onnx import helper, numpy_helper

import peers_unet

# What 16-bit pixels are divided by, for networks that take values from 0 to 1.
LARGEST = 65535
CLASSES = ["Background", "Nucleus"]


def member(package, suffix):
    with zipfile.ZipFile(package) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(suffix)))


def unpack_saved_model(package, folder):
    """A .czmodel holds its SavedModel as a zip archive."""
    with zipfile.ZipFile(io.BytesIO(member(package, ".model"))) as archive:
        archive.extractall(folder)
    return str(folder)


def example(folder, kachel, data, sample):
    # Its SavedModel was made for 8-bit values.
    return {"package": "Examples/nuclei.czann", "tile": 512, "border": 64, "saved_model_scale": 255 / LARGEST,
            "saved_model": unpack_saved_model("Examples/nuclei.czmodel", folder / "example.savedmodel")}


def two_layer(folder, kachel, data, sample):
    source = data / "models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel"
    package = folder / "two-layer.czann"
    package.unlink(missing_ok=True)
    subprocess.run([kachel, "convert", str(source), str(package), "--quiet"], check=True)
    return {"package": str(package), "tile": 256, "border": 8, "saved_model_scale": 1,
            "saved_model": unpack_saved_model(source, folder / "two-layer.savedmodel")}


def pgc(folder, kachel, data, sample):
    return {"package": str(data / "models_large/PGC_20X_nucleus_detector.czseg"), "tile": 1024, "border": 64}


def unet(folder, kachel, data, sample):
    values, tile, border = peers_unet.weights(), 512, 64
    pixels = numpy.load(sample)[:1024, :1024, None].astype(numpy.float32) / LARGEST
    session = onnxruntime.InferenceSession(peers_unet.onnx_model(values).SerializeToString())
    scores = session.run(None, {"image": pixels[None]})[0]
    # Random weights prefer one class; half of the pixels shall be of the other.
    values["classes_bias"][1] = -numpy.median(numpy.log(scores[..., 1]) - numpy.log(scores[..., 0]))
    numpy.savez(folder / "unet.npz", **values)
    metadata = {
        "FormatVersion": "2.1.0", "Id": str(uuid.UUID(int=7)), "Type": "SingleClassSemanticSegmentation",
        "InputShape": [tile, tile, 1], "OutputShape": [tile, tile, 2], "MinOverlap": [2 * border] * 2,
        "Classes": CLASSES, "ModelName": "UNet"}
    with zipfile.ZipFile(folder / "unet.czann", "w") as archive:
        archive.writestr("model.json", json.dumps(metadata))
        archive.writestr("model.model", peers_unet.onnx_model(values).SerializeToString())
    # peers.py has TensorFlow's Python write the SavedModel.
    return {"package": str(folder / "unet.czann"), "tile": tile, "border": border, "saved_model_scale": 1 / LARGEST,
            "saved_model": str(folder / "unet.savedmodel"), "weights": str(folder / "unet.npz")}


MODELS = {"example": example, "two-layer": two_layer, "pgc": pgc, "unet": unet}


def for_torch(graph, tile, path):
    """The same network as onnx2torch takes it: of one size, and without the two things that it does not know."""
    model = onnx.load_from_string(graph)
    for side, value in zip(model.graph.input[0].type.tensor_type.shape.dim, [1, tile, tile]):
        side.dim_value = value
    # ONNX Runtime computes what follows from the size.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    shapes = {value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
              for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]}
    nodes = []
    for node in model.graph.node:
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        if attributes.get("auto_pad", b"") == b"SAME_UPPER" and set(attributes.get("strides", [1])) == {1}:
            kernel, dilations = attributes["kernel_shape"], attributes.get("dilations", [1, 1])
            sums = [(size - 1) * step for size, step in zip(kernel, dilations)]
            for item in [item for item in node.attribute if item.name in ("auto_pad", "pads")]:
                node.attribute.remove(item)
            node.attribute.append(helper.make_attribute(
                "pads", [total // 2 for total in sums] + [total - total // 2 for total in sums]))
        if node.op_type == "DepthToSpace" and attributes.get("mode", b"DCR") == b"DCR":
            block, (_, channels, height, width) = attributes["blocksize"], shapes[node.input[0]]
            depth, output = channels // block ** 2, node.output[0]
            for name, shape in [("split", [1, block, block, depth, height, width]),
                                ("joined", [1, depth, height * block, width * block])]:
                model.graph.initializer.append(numpy_helper.from_array(numpy.array(shape), f"{output}_{name}"))
            nodes += [
                helper.make_node("Reshape", [node.input[0], f"{output}_split"], [f"{output}_parts"]),
                helper.make_node("Transpose", [f"{output}_parts"], [f"{output}_turned"], perm=[0, 3, 4, 1, 5, 2]),
                helper.make_node("Reshape", [f"{output}_turned", f"{output}_joined"], [output])]
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)
    return str(path)


def for_bioimageio(model, name, folder):
    """A bioimage.io description of the network, beside its weights and the test tensors that it must have."""
    folder.mkdir(exist_ok=True)
    (folder / "weights.onnx").write_bytes(pathlib.Path(model["onnx"]).read_bytes())
    tile = model["tile"]
    session = onnxruntime.InferenceSession(model["onnx"], providers=["CPUExecutionProvider"])
    test = numpy.random.default_rng(1).integers(0, LARGEST + 1, (1, tile, tile, 1)).astype(numpy.float32)
    numpy.save(folder / "input.npy", test)
    numpy.save(folder / "output.npy",
               session.run(None, {session.get_inputs()[0].name: test / numpy.float32(LARGEST)})[0])

    description = {
        "type": "model", "format_version": "0.5.3", "name": f"benchmark {name}",
        "description": "A network of Kachel's benchmarks.", "authors": [{"name": "Kachel"}],
        "cite": [{"text": "Kachel", "url": "https://example.com"}],
        "license": "Apache-2.0", "weights": {"onnx": {"source": "weights.onnx", "opset_version": 12}},
        "inputs": [{
            "id": "image", "test_tensor": {"source": "input.npy"},
            "axes": [{"type": "batch"}, *({"type": "space", "id": axis, "size": tile} for axis in "yx"),
                     {"type": "channel", "channel_names": ["gray"]}],
            "preprocessing": [{"id": "scale_linear", "kwargs": {"gain": 1 / LARGEST}}]}],
        "outputs": [{
            "id": "scores", "test_tensor": {"source": "output.npy"},
            "axes": [{"type": "batch"},
                     *({"type": "space", "id": axis, "size": {"tensor_id": "image", "axis_id": axis},
                        "halo": model["border"]} for axis in "yx"),
                     {"type": "channel", "channel_names": [title.lower() for title in CLASSES]}]}]}
    # JSON is YAML.
    (folder / "rdf.yaml").write_text(json.dumps(description, indent=1))
    return str(folder / "rdf.yaml")


def main():
    folder, data = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[3])
    kachel, sample = sys.argv[2], sys.argv[4]
    for name in sys.argv[5:]:
        model = MODELS[name](folder, kachel, data, sample)
        graph = member(model["package"], ".model")
        (folder / f"{name}.onnx").write_bytes(graph)
        model["onnx"] = str(folder / f"{name}.onnx")
        model["torch"] = for_torch(graph, model["tile"], folder / f"{name}.torch.onnx")
        model["bioimageio"] = for_bioimageio(model, name, folder / f"{name}.bioimageio")
        (folder / f"{name}.json").write_text(json.dumps(model))


main()
