"""Sums, products and functions of each element."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from inferstack.ir.graph import Attribute
from inferstack.models.onnx.file import Node, Shapes
from inferstack.models.onnx.program import Kind
from inferstack.models.onnx.recovery import Recovery
from inferstack.models.onnx.source import Constant, Linear, Stored, Unit, View
from inferstack.models.onnx.view import Axes, merged, plain, same, size_of


def add(recovery: Recovery, node: Node) -> View:
    """A bias, a constant, positions, or a residual."""
    a, b = node.inputs[:2]
    if recovery.is_known(a):
        a, b = b, a
    _runs(recovery, b, node)
    if recovery.is_known(b):
        return add_known(recovery, recovery.view(a), b, node)
    return sum_of(recovery, recovery.view(a), recovery.view(b), node)


def add_known(recovery: Recovery, x: View, name: str, node: Node) -> View:
    """x plus a known value."""
    biased = _biased(recovery, x, name)
    if biased is not None:
        return biased
    if recovery.scalar(name) == 0.0:
        return x
    made, axes = recovery.stored(x, node)
    rows = recovery.position_rows(name)
    if rows is not None and len(made.shape) == 3 and same(axes, plain(made.shape)):
        table, first = rows
        ids = recovery.places(made.shape[:2])
        inputs = {"table": recovery.declare(recovery.constant(table)), "ids": ids}
        found = recovery.write("position_embedding", f"{node.name}.rows", inputs, {"first": first})
        written = recovery.write("add", node, {"a": made.name, "b": found.name})
        return View(source=written, axes=axes)
    constant = recovery.known_for(name, axes, made, node)
    written = recovery.write("add", node, {"a": made.name, "b": recovery.declare(constant)})
    return View(source=written, axes=axes)


def _biased(recovery: Recovery, x: View, name: str) -> View | None:
    """A matmul with this bias; None where it is none."""
    x = recovery.ordered(x)
    source = x.source
    if not isinstance(source, Linear) or source.bias is not None or x.factor != 1.0 or x.per:
        return None
    constant, last = recovery.constant(name), len(source.shape) - 1
    short = (1,) * (len(x.axes) - len(constant.shape))
    if len(constant.shape) > len(x.axes):
        return None
    for axis, own in zip(x.axes, (*short, *constant.shape), strict=True):
        of_columns = all(atom.axis == last for atom in merged(axis))
        if own != 1 and not (of_columns and own == size_of(axis)):
            return None
    columns = sum(1 for axis in x.axes for atom in merged(axis) if atom.axis == last)
    wide = [own for own in constant.shape if own != 1]
    whole = 1
    for own in wide:
        whole *= own
    if whole != source.shape[last] or columns != len(wide):
        return None
    return replace(x, source=replace(source, bias=constant.reshaped((whole,))))


def sum_of(recovery: Recovery, a: View, b: View, node: Node) -> View:
    """Two values that run."""
    left, right, axes = aligned(recovery, a, b, node)
    made = recovery.write("add", node, {"a": left.name, "b": right.name})
    return View(source=made, axes=axes)


def aligned(recovery: Recovery, a: View, b: View, node: Node) -> tuple[Stored, Stored, Axes]:
    """The tensors of two values in one layout, the one that broadcasts second."""
    if len(a.shape) < len(b.shape) or _elements(a) < _elements(b):
        a, b = b, a
    left, axes = recovery.stored(a, node)
    right, other = recovery.stored(b, node)
    wide = (*((),) * (len(axes) - len(other)), *other)
    alike = all(
        merged(mine) == merged(its) or size_of(its) == 1
        for mine, its in zip(axes, wide, strict=True)
    )
    ends = zip(reversed(left.shape), reversed(right.shape), strict=False)
    fits = len(right.shape) == len(left.shape) and all(s in (1, t) for t, s in ends)
    if alike and fits:
        return left, right, axes
    left, right = recovery.plain(a, node), recovery.plain(b, node)
    return left, right, plain(left.shape)


def _elements(view: View) -> int:
    found = 1
    for size in view.shape:
        found *= size
    return found


def subtract(recovery: Recovery, node: Node) -> View:
    """a - b."""
    a, b = node.inputs[:2]
    if recovery.is_known(b):
        negative = recovery.derived(b, "negative", lambda values: -values)
        return add_known(recovery, recovery.view(a), negative, node)
    x = recovery.view(b)
    x = replace(x, factor=-x.factor)
    if recovery.is_known(a):
        return add_known(recovery, x, a, node)
    return sum_of(recovery, recovery.view(a), x, node)


def multiply(recovery: Recovery, node: Node) -> View | Unit:
    """A factor, a gate, or the unit of a product of integers."""
    a, b = node.inputs[:2]
    if recovery.is_known(a):
        a, b = b, a
    _runs(recovery, b, node)
    first = recovery.value(a)
    if recovery.is_known(b):
        number = recovery.scalar(b)
        if isinstance(first, Unit):
            return Unit(name=first.name, factor=_product(recovery, first, b))
        if number is not None:
            return replace(first, factor=first.factor * number)
        return times(recovery, first, b, node)
    second = recovery.value(b)
    if isinstance(first, Unit):
        first, second = second, first
    if isinstance(second, Unit):
        return _in_units(recovery, first, second, node)
    assert isinstance(first, View), "the other one was a unit, or none"
    return product_of(recovery, first, second, node)


def times(recovery: Recovery, x: View, name: str, node: Node) -> View:
    """x times a known value."""
    made, axes = recovery.stored(x, node)
    constant = recovery.known_for(name, axes, made, node)
    inputs = {"a": made.name, "b": recovery.declare(constant)}
    return View(source=recovery.write("multiply", node, inputs), axes=axes)


def product_of(recovery: Recovery, a: View, b: View, node: Node) -> View:
    """Two values that run."""
    factor = a.factor * b.factor
    left, right, axes = aligned(recovery, replace(a, factor=1.0), replace(b, factor=1.0), node)
    made = recovery.write("multiply", node, {"a": left.name, "b": right.name})
    return View(source=made, axes=axes, factor=factor)


def _product(recovery: Recovery, unit: Unit, name: str) -> Constant:
    constant, before = recovery.constant(name), unit.factor
    if before is None:
        return constant
    return before.made(f"*{name}", _broad(before, constant), lambda x: x * constant.values())


def _broad(a: Constant, b: Constant) -> tuple[int, ...]:
    return a.shape if len(a.shape) >= len(b.shape) and 1 not in a.shape else b.shape


def _in_units(recovery: Recovery, x: View | Unit, unit: Unit, node: Node) -> View:
    """A product of integers in the units of what was multiplied."""
    if not isinstance(x, View) or x.per != unit.name or not isinstance(x.source, Linear):
        raise recovery.error(node, "multiplies something else by the unit of integers")
    source, factor = x.source, unit.factor
    if factor is not None:
        weight = source.weight.made(
            f"*{factor.name}", source.weight.shape, lambda w: w * factor.values()
        )
        source = replace(source, weight=weight)
    return replace(x, source=source, per=None)


def divide(recovery: Recovery, node: Node) -> View:
    """By a known value."""
    a, b = node.inputs[:2]
    if not recovery.is_known(b):
        raise recovery.error(node, "divides by an activation", need="a form that is known: a norm")
    x, number = recovery.view(a), recovery.scalar(b)
    if number == 0.0:
        raise recovery.error(node, "divides by zero")
    if number is not None:
        return replace(x, factor=x.factor / number)
    return times(recovery, x, recovery.derived(b, "over", lambda values: 1 / values), node)


def negate(recovery: Recovery, node: Node) -> View:
    """-x."""
    x = recovery.view(node.inputs[0])
    return replace(x, factor=-x.factor)


def power(recovery: Recovery, node: Node) -> View:
    """x^2."""
    exponent = recovery.scalar(node.inputs[1])
    if exponent != 2.0:
        raise recovery.error(node, "is a power that no operator of ours has", got=exponent, need=2)
    x = recovery.view(node.inputs[0])
    return product_of(recovery, x, x, node)


def clip(recovery: Recovery, node: Node) -> View:
    """From -limit to limit, or from 0 to it."""
    x = recovery.view(node.inputs[0])
    low, high = (recovery.scalar(node.input(n)) for n in (1, 2))
    if low == 0.0:
        x = recovery.pointwise("relu", x, node)
        if node.input(2) is None:
            return x
        low = None if high is None else -high
    if low is None or high is None or low != -high:
        raise recovery.error(
            node, "has other limits than our operator clip", got=(low, high),
            need="0 and none, 0 and a limit, or a limit to both sides",
        )  # fmt: skip
    return recovery.pointwise("clip", x, node, {"limit": high})


def gelu(recovery: Recovery, node: Node) -> View:
    """Opset 20's, and ONNX Runtime's."""
    approximate = node.attributes.get("approximate", b"none").decode()
    return recovery.pointwise(
        "gelu", recovery.view(node.inputs[0]), node, {"approximate": approximate}
    )


def biased_gelu(recovery: Recovery, node: Node) -> View:
    """BiasGelu and FastGelu, whose bias may be left out."""
    x, bias = recovery.view(node.inputs[0]), node.input(1)
    if bias is not None:
        if not recovery.is_known(bias):
            raise recovery.error(node, "has a bias that runs")
        x = add_known(recovery, x, bias, node)
    tanh = node.kind.endswith("FastGelu")
    return recovery.pointwise("gelu", x, node, {"approximate": "tanh" if tanh else "none"})


def quick_gelu(recovery: Recovery, node: Node) -> View:
    """x sigmoid(alpha x): our quick GELU, or SiLU."""
    x, alpha = recovery.view(node.inputs[0]), float(node.attributes.get("alpha", 1.702))
    if node.kind == "Swish":
        alpha = float(node.attributes.get("alpha", 1.0))
    if abs(alpha - 1.702) < 1e-3:
        return recovery.pointwise("gelu", x, node, {"approximate": "quick"})
    if alpha != 1.0:
        raise recovery.error(node, "has an alpha that no operator of ours has", got=alpha)
    return recovery.pointwise("silu", x, node)


def _named(kind: str) -> Callable[[Recovery, Node], View]:
    says: dict[str, Attribute] = {}

    def handler(recovery: Recovery, node: Node) -> View:
        return recovery.pointwise(kind, recovery.view(node.inputs[0]), node, says)

    return handler


def _runs(recovery: Recovery, name: str, node: Node) -> None:
    if recovery.kind(name) is Kind.SIDE:
        raise recovery.error(
            node, "puts a mask to an activation where no attention and no pooling reads it"
        )


def _same(node: Node, shapes: Shapes) -> Shapes:
    return [shapes[0]]


OPERATORS = {
    "Add": add,
    "Sub": subtract,
    "Mul": multiply,
    "Div": divide,
    "Neg": negate,
    "Pow": power,
    "Clip": clip,
    "Relu": _named("relu"),
    "Sigmoid": _named("sigmoid"),
    "Tanh": _named("tanh"),
    "Gelu": gelu,
    "Swish": quick_gelu,
    "com.microsoft.Gelu": gelu,
    "com.microsoft.FastGelu": biased_gelu,
    "com.microsoft.BiasGelu": biased_gelu,
    "com.microsoft.QuickGelu": quick_gelu,
}
SHAPES = {f"com.microsoft.{kind}": _same for kind in ("Gelu", "FastGelu", "BiasGelu", "QuickGelu")}
