# SPDX-License-Identifier: Apache-2.0
"""The race's largest network: a U-Net of 7.76 million parameters, as ONNX and as a SavedModel.

Four levels of two 3 x 3 convolutions with 32 to 256 channels, 512 at the bottom, transposed convolutions of 2 x 2 on
the way up, and two classes. Its weights are random but the same on every machine; like the networks of packages it
takes and gives channels last.

    peers_unet.py WEIGHTS.npz FOLDER      write the SavedModel (with the Python that has TensorFlow)
"""

import sys

import numpy

WIDTHS = [32, 64, 128, 256, 512]
CLASSES = 2


def layers():
    """The network's convolutions in their order: name, kernel, channels in, channels out."""
    channels = 1
    for level, width in enumerate(WIDTHS):
        yield from [(f"down{level}a", 3, channels, width), (f"down{level}b", 3, width, width)]
        channels = width
    for level, width in reversed(list(enumerate(WIDTHS[:-1]))):
        yield (f"up{level}", 2, 2 * width, width)
        yield from [(f"up{level}a", 3, 2 * width, width), (f"up{level}b", 3, width, width)]
    yield ("classes", 1, WIDTHS[0], CLASSES)


def weights():
    """Kernels as TensorFlow has them (height, width, in, out), with the variance of He et al. (2015), and no biases."""
    random = numpy.random.Generator(numpy.random.PCG64(7))
    result = {}
    for name, kernel, inputs, outputs in layers():
        # Every output of a transposed convolution of stride 2 gets one of its kernel's four values.
        spread = numpy.sqrt(2 / (inputs * (1 if kernel == 2 else kernel ** 2)))
        result[name] = random.normal(0, spread, (kernel, kernel, inputs, outputs)).astype(numpy.float32)
        result[f"{name}_bias"] = numpy.zeros(outputs, numpy.float32)
    return result


def onnx_model(values):
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def add(operation, inputs, output, **attributes):
        nodes.append(helper.make_node(operation, inputs, [output], **attributes))
        return output

    def constant(name, value):
        constants.append(numpy_helper.from_array(numpy.ascontiguousarray(value), name))
        return name

    def convolve(name, tensor, relu=True):
        kernel = values[name].shape[0]
        inputs = [tensor, constant(f"{name}_kernel", values[name].transpose(3, 2, 0, 1)),
                  constant(f"{name}_bias", values[f"{name}_bias"])]
        tensor = add("Conv", inputs, f"{name}_sum", kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4)
        return add("Relu", [tensor], f"{name}_relu") if relu else tensor

    tensor = add("Transpose", ["image"], "channels_first", perm=[0, 3, 1, 2])
    skipped = []
    for level in range(len(WIDTHS)):
        if level:
            skipped.append(tensor)
            tensor = add("MaxPool", [tensor], f"pool{level}", kernel_shape=[2, 2], strides=[2, 2])
        tensor = convolve(f"down{level}b", convolve(f"down{level}a", tensor))
    for level in reversed(range(len(WIDTHS) - 1)):
        name = f"up{level}"
        inputs = [tensor, constant(f"{name}_kernel", values[name].transpose(2, 3, 0, 1)),
                  constant(f"{name}_bias", values[f"{name}_bias"])]
        tensor = add("ConvTranspose", inputs, f"{name}_sum", kernel_shape=[2, 2], strides=[2, 2])
        tensor = add("Concat", [skipped.pop(), tensor], f"{name}_both", axis=1)
        tensor = convolve(f"{name}b", convolve(f"{name}a", tensor))
    tensor = add("Softmax", [convolve("classes", tensor, relu=False)], "probabilities", axis=1)
    add("Transpose", [tensor], "scores", perm=[0, 2, 3, 1])

    sides = ["batch", "height", "width"]
    graph = helper.make_graph(
        nodes, "unet", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [*sides, 1])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [*sides, CLASSES])], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def save_tensorflow(values, folder):
    import tensorflow

    class UNet(tensorflow.Module):
        def __init__(self):
            super().__init__()
            self.values = {name: tensorflow.Variable(value) for name, value in values.items()}

        def convolve(self, name, tensor, relu=True):
            tensor = tensorflow.nn.conv2d(tensor, self.values[name], 1, "SAME") + self.values[f"{name}_bias"]
            return tensorflow.nn.relu(tensor) if relu else tensor

        @tensorflow.function(input_signature=[tensorflow.TensorSpec([None, None, None, 1], name="image")])
        def __call__(self, tensor):
            skipped = []
            for level in range(len(WIDTHS)):
                if level:
                    skipped.append(tensor)
                    tensor = tensorflow.nn.max_pool2d(tensor, 2, 2, "VALID")
                tensor = self.convolve(f"down{level}b", self.convolve(f"down{level}a", tensor))
            for level in reversed(range(len(WIDTHS) - 1)):
                name, other = f"up{level}", skipped.pop()
                tensor = tensorflow.nn.conv2d_transpose(tensor, self.values[name], tensorflow.shape(other), 2)
                tensor = tensorflow.concat([other, tensor + self.values[f"{name}_bias"]], -1)
                tensor = self.convolve(f"{name}b", self.convolve(f"{name}a", tensor))
            return {"scores": tensorflow.nn.softmax(self.convolve("classes", tensor, relu=False))}

    # TensorFlow has the kernels of transposed convolutions as (height, width, out, in).
    for level in range(len(WIDTHS) - 1):
        values[f"up{level}"] = values[f"up{level}"].transpose(0, 1, 3, 2)
    network = UNet()
    tensorflow.saved_model.save(network, folder, signatures=network.__call__)


if __name__ == "__main__":
    with numpy.load(sys.argv[1]) as file:
        save_tensorflow(dict(file), sys.argv[2])
