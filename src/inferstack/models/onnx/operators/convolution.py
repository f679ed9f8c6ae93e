"""Images: convolutions, their norms, pooling."""

from __future__ import annotations

from typing import Any

from inferstack.models.onnx.file import Node
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.source import Constant, Stored, View
from inferstack.models.onnx.view import plain, same


def image(recovery: Recovery, name: str, node: Node) -> Stored:
    """A value (batch, channels, height, width) as its tensor."""
    made = recovery.plain(recovery.view(name), node)
    if len(made.shape) != 4:
        raise recovery.error(
            node, "works on something else than images", got=made.shape,
            need="(batch, channels, height, width)",
        )  # fmt: skip
    return made


def equal(recovery: Recovery, node: Node, what: str, sizes: Any, usual: int) -> int:
    """A number that both axes have."""
    numbers = set(sizes or (usual,))
    if len(numbers) != 1:
        raise recovery.error(
            node, f"has {what} of two sizes", got=tuple(sizes), need="one for both"
        )
    return int(numbers.pop())


def paddings(recovery: Recovery, node: Node) -> tuple[int, int]:
    """Of rows and of columns, each the same at both ends."""
    says = node.attributes
    if says.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise recovery.error(node, "leaves its padding open", got=says["auto_pad"], need="pads")
    pads = tuple(says.get("pads", (0, 0, 0, 0)))
    if len(pads) != 4 or pads[:2] != pads[2:]:
        raise recovery.error(node, "pads one end more than the other", got=pads)
    return pads[0], pads[1]


def conv(recovery: Recovery, node: Node) -> View:
    """Conv over images."""
    says = node.attributes
    if not recovery.is_known(node.inputs[1]):
        raise recovery.error(node, "is a convolution whose filters run")
    weight = recovery.constant(node.inputs[1])
    if len(weight.shape) == 3:
        return _signal(recovery, node, weight)
    x = image(recovery, node.inputs[0], node)
    inputs = {"x": x.name, "weight": recovery.declare(weight)}
    bias = node.input(2)
    if bias is not None:
        if not recovery.is_known(bias):
            raise recovery.error(node, "is a convolution whose bias runs")
        inputs["bias"] = recovery.declare(recovery.constant(bias))
    above, beside = paddings(recovery, node)
    numbers = {
        "stride": equal(recovery, node, "strides", says.get("strides"), 1),
        "padding": beside,
        "dilation": equal(recovery, node, "dilations", says.get("dilations"), 1),
        "groups": int(says.get("group", 1)),
    }
    if above != beside:
        numbers["row_padding"] = above
    made = recovery.write("conv2d", node, inputs, numbers)
    return View(source=made, axes=plain(made.shape))


def _signal(recovery: Recovery, node: Node, weight: Constant) -> View:
    """A convolution over times: a signal is an image of one row."""
    made, axes = recovery.stored(recovery.view(node.inputs[0]), node)
    usual = plain(made.shape)
    if len(made.shape) != 4 or made.shape[2] != 1 or not same(axes, (*usual[:2], usual[3])):
        raise recovery.error(node, "is a convolution over something else than a signal")
    says = node.attributes
    pads = tuple(says.get("pads", (0, 0)))
    if says.get("auto_pad", b"NOTSET") != b"NOTSET" or pads[0] != pads[1]:
        raise recovery.error(node, "pads one end more than the other", got=pads)
    n, channels, times = weight.shape
    inputs = {"x": made.name}
    inputs["weight"] = recovery.declare(weight.reshaped((n, channels, 1, times)))
    bias = node.input(2)
    if bias is not None:
        inputs["bias"] = recovery.declare(recovery.constant(bias))
    numbers = {
        "stride": equal(recovery, node, "strides", says.get("strides"), 1),
        "padding": pads[0],
        "row_padding": 0,
        "dilation": equal(recovery, node, "dilations", says.get("dilations"), 1),
        "groups": int(says.get("group", 1)),
    }
    written = recovery.write("conv2d", node, inputs, numbers)
    batch, columns, _, places = plain(written.shape)
    return View(source=written, axes=(batch, columns, places))


def batch_norm(recovery: Recovery, node: Node) -> View:
    """BatchNormalization with stored statistics."""
    if node.attributes.get("training_mode"):
        raise recovery.error(node, "is in training mode", hint="export the model after .eval()")
    x = image(recovery, node.inputs[0], node)
    inputs = {"x": x.name}
    for slot, name in zip(("gamma", "beta", "mean", "variance"), node.inputs[1:5], strict=True):
        if not recovery.is_known(name):
            raise recovery.error(node, f"has a {slot} that runs")
        inputs[slot] = recovery.declare(recovery.constant(name))
    says = {"epsilon": float(node.attributes.get("epsilon", 1e-5))}
    made = recovery.write("batchnorm", node, inputs, says)
    return View(source=made, axes=plain(made.shape))


def max_pool(recovery: Recovery, node: Node) -> View:
    """MaxPool over images."""
    says = node.attributes
    if says.get("ceil_mode") or equal(recovery, node, "dilations", says.get("dilations"), 1) != 1:
        raise recovery.error(node, "rounds up or dilates", need="ceil_mode 0, dilations 1")
    x, (above, beside) = image(recovery, node.inputs[0], node), paddings(recovery, node)
    numbers = {
        "kernel": equal(recovery, node, "kernels", says["kernel_shape"], 1),
        "stride": equal(recovery, node, "strides", says.get("strides"), 1),
        "padding": equal(recovery, node, "paddings", (above, beside), 0),
    }
    made = recovery.write("max_pool", node, {"x": x.name}, numbers)
    return View(source=made, axes=plain(made.shape))


def mean(recovery: Recovery, node: Node) -> View:
    """The mean over height and width: GlobalAveragePool, or ReduceMean."""
    view = recovery.view(node.inputs[0])
    if node.kind == "ReduceMean":
        axes = node.attributes.get("axes")
        if axes is None and recovery.is_known(node.input(1)):
            axes = recovery.program.value(node.inputs[1]).tolist()
        if len(view.shape) != 4 or sorted(a % 4 for a in axes or ()) != [2, 3]:
            raise recovery.error(
                node, "is a mean that no operator of ours takes", got=f"{view.shape}, axes {axes}",
                need="a norm, a mean of tokens by a mask, or one over height and width",
            )  # fmt: skip
    x = image(recovery, node.inputs[0], node)
    made = recovery.write("global_average_pool", node, {"x": x.name})
    batch, channels = plain(made.shape)
    keeps = len(recovery.program.shape(node.outputs[0], node)) == 4
    return View(source=made, axes=(batch, channels, (), ()) if keeps else (batch, channels))


def average_pool(recovery: Recovery, node: Node) -> View:
    """AveragePool over the whole image."""
    x = image(recovery, node.inputs[0], node)
    if tuple(node.attributes["kernel_shape"]) != x.shape[2:] or any(paddings(recovery, node)):
        raise recovery.error(
            node, "is an average of windows, which no operator of ours takes",
            got=tuple(node.attributes["kernel_shape"]), need=f"the whole image, {x.shape[2:]}",
        )  # fmt: skip
    made = recovery.write("global_average_pool", node, {"x": x.name})
    batch, channels = plain(made.shape)
    return View(source=made, axes=(batch, channels, (), ()))


OPERATORS = {
    "Conv": conv,
    "BatchNormalization": batch_norm,
    "MaxPool": max_pool,
    "GlobalAveragePool": mean,
    "ReduceMean": mean,
    "AveragePool": average_pool,
}
