# SPDX-License-Identifier: Apache-2.0
"""One program of the race, in a process of its own; started by peers.py.

    peers_run.py PROGRAM MODEL.json IMAGE.npy LABELS.npy THREADS

Prints as JSON the seconds until the program's modules and the network were loaded; what follows is its work. A program
prepares itself and returns what makes labels (1, 2, ...) of the pixels.
"""

import json
import os
import sys
import time

LARGEST = 65535


def napari_czann_segment(model, threads):
    """As its authors call it: cztile's tiles, eight of them in a batch, for which it opens a session each."""
    from napari_czann_segment.predict import predict_ndarray

    return lambda pixels: predict_ndarray(model["package"], pixels)[1]


def sliding_window(model, network):
    import torch
    from monai.inferers import SlidingWindowInferer

    tile = model["tile"]
    inferer = SlidingWindowInferer(roi_size=(tile, tile), sw_batch_size=1, overlap=2 * model["border"] / tile)

    def predict(pixels):
        with torch.inference_mode():
            image = torch.from_numpy(pixels.astype("float32")).div_(LARGEST)
            scores = inferer(image[None, None], network)
            return scores[0].argmax(0).add_(1).to(torch.uint8).numpy()

    return predict


def monai_onnxruntime(model, threads):
    import onnxruntime
    import torch

    torch.set_num_threads(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model["onnx"], options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def network(windows):
        windows = windows.permute(0, 2, 3, 1).contiguous().numpy()
        return torch.from_numpy(session.run(None, {name: windows})[0]).permute(0, 3, 1, 2)

    return sliding_window(model, network)


def monai_pytorch(model, threads):
    import importlib.machinery
    import types

    # onnx2torch imports torchvision for detection networks, and the torchvision of PyPI works only with CUDA's PyTorch.
    for name in ("torchvision", "torchvision.ops"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
    sys.modules["torchvision.ops"].roi_align = None
    import onnx2torch
    import torch

    torch.set_num_threads(threads)
    converted = onnx2torch.convert(model["torch"]).eval().to(memory_format=torch.channels_last)
    return sliding_window(model, lambda windows: converted(windows.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


def bioimageio_core(model, threads):
    import numpy
    from bioimageio.core import create_prediction_pipeline, predict
    from bioimageio.spec import load_description

    pipeline = create_prediction_pipeline(load_description(model["bioimageio"]), weight_format="onnx")
    shape = {"image": {"batch": 1, "y": model["tile"], "x": model["tile"], "channel": 1}}

    def predict_blocks(pixels):
        result = predict(model=pipeline, inputs={"image": pixels[None, :, :, None]}, input_block_shape=shape)
        scores = numpy.asarray(result.members["scores"].data)[0]
        return (scores.argmax(-1) + 1).astype(numpy.uint8)

    return predict_blocks


def cztile_tensorflow(model, threads):
    os.environ.update(TF_ENABLE_ONEDNN_OPTS="1", TF_CPP_MIN_LOG_LEVEL="3")
    import numpy
    import tensorflow
    from cztile.fixed_total_area_strategy_2d import AlmostEqualBorderFixedTotalAreaStrategy2D
    from cztile.tiling_strategy import Region2D, TileInput

    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    loaded = tensorflow.saved_model.load(model["saved_model"])
    network = loaded.signatures["serving_default"]
    name = next(iter(network.structured_input_signature[1]))
    scale = numpy.float32(model["saved_model_scale"])
    tiling = AlmostEqualBorderFixedTotalAreaStrategy2D(
        width=TileInput(model["tile"], model["border"]), height=TileInput(model["tile"], model["border"]))

    def predict(pixels):
        height, width = pixels.shape
        labels = numpy.zeros((height, width), numpy.uint8)
        for tile in tiling.calculate_2d_tiles(Region2D(x=0, y=0, w=width, h=height)):
            whole, center, border = tile.roi, tile.center, tile.border
            values = pixels[whole.y:whole.y + whole.h, whole.x:whole.x + whole.w].astype(numpy.float32) * scale
            outputs = network(**{name: tensorflow.constant(values[None, :, :, None])})
            scores = next(iter(outputs.values())).numpy()[0]
            inner = scores[border.top:border.top + center.h, border.left:border.left + center.w]
            labels[center.y:center.y + center.h, center.x:center.x + center.w] = inner.argmax(-1) + 1
        return labels

    # The signature belongs to what was loaded, and does not keep it.
    predict.loaded = loaded
    return predict


PROGRAMS = {function.__name__: function for function in [
    napari_czann_segment, monai_onnxruntime, monai_pytorch, bioimageio_core, cztile_tensorflow]}


def main():
    program, model, image, target, threads = sys.argv[1:]
    started = time.monotonic()
    with open(model) as file:
        model = json.load(file)
    import numpy

    predict = PROGRAMS[program](model, int(threads))
    loading = time.monotonic() - started
    labels = predict(numpy.load(image))
    numpy.save(target, labels)
    print(json.dumps({"loading": loading}))


main()
