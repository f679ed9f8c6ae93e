"""What the int8 methods share: scales, quantized weights, and the matmuls on int8 operands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inferstack.compress.balance import balanced_scale
from inferstack.compress.calibration import Calibration
from inferstack.core.dtypes import DType
from inferstack.core.errors import InputError
from inferstack.ir.graph import Graph, Operator, Tensor, TensorRole
from inferstack.ops.builder import GraphBuilder
from inferstack.ops.quantization import (
    CONTEXT_UNITS,
    INT8_MAX,
    RESCALE_LIMIT,
    dyadic,
    quantize,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Scale = npt.NDArray[np.float64]

ARRAY_KINDS = frozenset({"matmul", "attention_scores", "attention_context"})
"""Kinds that the array computes on int8 operands."""
PER_CHANNEL_READERS = frozenset({"matmul", "add", "mean_pool", "token_pool"})
"""Kinds whose operand may have a unit per channel."""
WEIGHT_SCALE_SPAN = 2.0**14
"""A column's scale is at least the largest one over this: a column of near zeros would otherwise
blow the residual and the bias, which are brought to its accumulator scale, out of int32."""
ACCUMULATOR_LIMIT = 2**30
"""Bias and residual stay under this at accumulator scale."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Integer:
    """An integer tensor of the new graph. scale: (1,) or (channels,): real = scale * integer.

    Not a number for probabilities, where the sum of a row stands for 1.
    """

    tensor: str
    dtype: DType
    scale: Scale


class Lowering(ABC):
    """A float graph on its way to integers.

    integers, floats: the new graph's forms of each old tensor, by the old tensor's name; narrowed:
    int8 forms of those that are wider, or float.
    """

    def __init__(self, graph: Graph, calibration: Calibration, name: str) -> None:
        self.graph = graph
        self.calibration = calibration
        self.builder = GraphBuilder(f"{graph.name} {name}")
        self.method = name
        self.integers: dict[str, Integer] = {}
        self.narrowed: dict[str, Integer] = {}
        self.floats: dict[str, str] = {}
        for tensor in graph.inputs:
            self.floats[tensor] = self.builder.declare(graph.tensors[tensor])

    def refuse(self, operator: Operator, what: str, hint: str | None = None) -> InputError:
        """The error for an operator that this method cannot handle."""
        return InputError(
            f"compress {self.method}",
            f"operator {operator.name} ({operator.kind}) {what}",
            hint=hint,
        )

    # -- values ---------------------------------------------------------------------------------

    def weight(self, operator: Operator, slot: str) -> Array:
        """The float64 data of a weight operand. Raises InputError where it has none."""
        import numpy as np

        tensor = self.graph.tensors[operator.inputs[slot]]
        if tensor.data is None:
            raise self.refuse(operator, f"needs the values of {tensor.name}, which has none")
        return np.asarray(tensor.data, dtype=np.float64)

    def static(
        self,
        name: str,
        data: Array,
        dtype: DType,
        role: TensorRole,
        scale: Scale | None = None,
        row_scale: Scale | None = None,
    ) -> str:
        """Declare a weight or constant with `data`; returns its name.

        A tensor that two operators share and that has different values for each (the units of its
        activations are folded in) is declared again as `name:2`, `name:3` ...
        """
        free, copy = name, 1
        while free in self.builder.tensors:
            there = self.builder.tensors[free]
            scales = ((there.scale, scale), (there.row_scale, row_scale))
            if there.dtype is dtype and all(
                _equal(*pair) for pair in ((there.data, data), *scales)
            ):
                return free
            copy += 1
            free = f"{name}:{copy}"
        return self.builder.declare(
            Tensor(
                name=free, shape=data.shape, dtype=dtype, role=role, data=data, scale=scale,
                row_scale=row_scale,
            )
        )  # fmt: skip

    def tables(self, operator: str, ratio: Scale, prefix: str = "") -> dict[str, str]:
        """Slots `<prefix>multiplier` and `<prefix>shift` for a rescale by `ratio`, (1,) or (n,).

        Raises InputError where it is beyond any multiplier.
        """
        if not (ratio < RESCALE_LIMIT).all():
            raise InputError(
                f"compress {self.method}: operator {operator}",
                "an operand cannot be rescaled to integers",
                got=f"a factor of {float(ratio.max()):.3g}",
                need=f"less than {RESCALE_LIMIT:.3g}",
                hint="weights before it are far larger than a trained model's; is it damaged?",
            )
        multiplier, shift = dyadic(ratio)
        slots = {f"{prefix}multiplier": multiplier, f"{prefix}shift": shift}
        return {
            slot: self.static(f"{operator}.{slot}", data, DType.INT32, TensorRole.CONSTANT)
            for slot, data in slots.items()
        }

    def emit(
        self,
        operator: Operator,
        inputs: dict[str, str],
        scale: Scale | None,
        attributes: dict[str, Any] | None = None,
    ) -> Integer:
        """Add the integer form of `operator`, and register its result.

        scale: None for probabilities, of which every row has its own.
        """
        import numpy as np

        name = self.builder.add(
            operator.kind,
            operator.name,
            inputs,
            attributes or {},
            part=operator.part,
            scale=None if scale is None else tensor_scale(scale),
        )
        value = Integer(
            tensor=name,
            dtype=self.builder.tensors[name].dtype,
            scale=np.full(1, np.nan) if scale is None else scale,
        )
        self.integers[operator.output] = value
        return value

    # -- scales ---------------------------------------------------------------------------------

    def activation_scale(self, tensor: str) -> Scale:
        """The calibrated scale (1,) of an int8 activation."""
        import numpy as np

        return np.array([self.calibration.clip(tensor) / INT8_MAX])

    def channel_scale(self, tensor: str, levels: int = INT8_MAX) -> Scale:
        """The scale of an activation whose producer writes each channel by its own multiplier.

        (channels,) where matmuls and residual adds read it, which take a unit per channel at no
        cost; (1,) where anything else does. Readers of the float form have no say. levels: the
        largest integer, 127 of int8.
        """
        readers = []
        consumers = [user for user in self.graph.consumers(tensor) if self.takes_integers(user)]
        for user in consumers:
            if user.kind == "matmul" and user.inputs["a"] == tensor:
                weight = self.weight(user, "b")
                readers.append(weight.T if user.attributes.get("transpose_b") else weight)
            elif user.kind not in PER_CHANNEL_READERS:
                return self.activation_scale(tensor)
        residual = any(user.kind == "add" for user in consumers)
        return balanced_scale(self.calibration.of(tensor), readers, residual, levels)

    def takes_integers(self, user: Operator) -> bool:
        """Whether an operator reads the integer form of its operands."""
        return True

    @abstractmethod
    def int8(self, operator: Operator, slot: str) -> Integer:
        """The int8 form of an operand."""

    def probabilities_only(self, operator: Operator) -> bool:
        """Whether attention contexts alone read a softmax: for others, no one scale has it."""
        readers = self.graph.consumers(operator.output)
        return operator.output not in self.graph.outputs and all(
            user.kind == "attention_context" and user.inputs["probabilities"] == operator.output
            for user in readers
        )

    def on_array(self, operator: Operator) -> bool:
        """Whether the array computes it on int8.

        Not a product of two activations by `matmul`, and not one of weights alone, which is the
        same for every input.
        """
        first = self.graph.tensors[next(iter(operator.inputs.values()))]
        fixed = first.role in (TensorRole.WEIGHT, TensorRole.CONSTANT)
        if operator.kind not in ARRAY_KINDS or fixed:
            return False
        if operator.kind != "matmul":
            return True
        return self.graph.tensors[operator.inputs["b"]].role is TensorRole.WEIGHT

    # -- operators on the array -----------------------------------------------------------------

    def matmul(self, operator: Operator, requantize_output: bool) -> None:
        """a int8 @ b int8 + bias int32 -> int32, or int8 where `requantize_output`.

        A scale per channel of `a` is folded into the rows of the weight.
        """
        import numpy as np

        a = self.int8(operator, "a")
        source = self.graph.tensors[operator.inputs["b"]]
        transposed = bool(operator.attributes.get("transpose_b", False))
        weight = self.weight(operator, "b")
        weight = weight.T if transposed else weight
        common = float(np.exp(np.log(a.scale).mean()))
        folded = common / a.scale if a.scale.size > 1 else None
        weight = weight if folded is None else weight / folded[:, None]
        bias = self.weight(operator, "bias") if "bias" in operator.inputs else None
        scale = weight_scale(weight, common, bias)
        quantized = quantize(weight, scale)
        inputs = {"a": a.tensor}
        stored = np.ascontiguousarray(quantized.T if transposed else quantized)
        inputs["b"] = self.static(
            source.name,
            stored,
            DType.INT8,
            TensorRole.WEIGHT,
            *_scales_as_stored(scale, folded, transposed=transposed),
        )
        accumulator = common * scale
        if bias is not None:
            inputs["bias"] = self.static(
                operator.inputs["bias"],
                np.rint(bias / accumulator).astype(np.int32),
                DType.INT32,
                TensorRole.WEIGHT,
                accumulator,
            )
        self._finish(operator, inputs, accumulator, requantize_output)

    def attention_scores(self, operator: Operator) -> None:
        """Q K^T -> int32; the scale attribute is folded into the result's scale."""
        query, key = self.int8(operator, "query"), self.int8(operator, "key")
        factor = number(operator, "scale")
        assert query.scale.size == key.scale.size == 1, "scores need one unit per operand"
        self.emit(
            operator,
            {"query": query.tensor, "key": key.tensor},
            query.scale * key.scale * factor,
            {name: value for name, value in operator.attributes.items() if name != "scale"},
        )

    def attention_context(self, operator: Operator, requantize_output: bool) -> None:
        """Means of value int8 by rows of probabilities int8 -> int8, or int32."""
        probabilities, value = self.int8(operator, "probabilities"), self.int8(operator, "value")
        inputs = {"probabilities": probabilities.tensor, "value": value.tensor}
        self._finish(operator, inputs, value.scale / CONTEXT_UNITS, requantize_output)

    def _finish(
        self, operator: Operator, inputs: dict[str, str], accumulator: Scale, requantize: bool
    ) -> None:
        """Emit with the rescale to int8, or with the accumulator as it is."""
        attributes = dict(operator.attributes)
        if not requantize:
            self.emit(operator, inputs, accumulator, attributes)
            return
        scale = self.activation_scale(operator.output)
        inputs = {**inputs, **self.tables(operator.name, accumulator / scale)}
        self.emit(operator, inputs, scale, attributes)


def _scales_as_stored(
    columns: Scale, rows: Scale | None, *, transposed: bool
) -> tuple[Scale, Scale | None]:
    """`Tensor.scale` and `Tensor.row_scale` of a weight (k, n), stored as (n, k) if transposed.

    columns: (n,), or (1,) for all. rows: (k,), what a row is worth beside its column.
    """
    import numpy as np

    if not transposed:
        return columns, rows
    return np.ones(()) if rows is None else rows, columns


def number(operator: Operator, attribute: str) -> float:
    """A numeric attribute."""
    value = operator.attributes[attribute]
    assert isinstance(value, int | float), f"{operator.name}.{attribute} is no number"
    return float(value)


def _equal(left: Array | None, right: Array | None) -> bool:
    """Whether both are absent, or equal."""
    import numpy as np

    if left is None or right is None:
        return left is right
    return np.array_equal(left, right)


def tensor_scale(scale: Scale) -> Scale:
    """A scale (1,) as the () that `Tensor` wants; one per channel as it is."""
    return scale.reshape(()) if scale.size == 1 else scale


def weight_scale(weight: Array, activation: float, bias: Array | None) -> Scale:
    """The scale (n,) of each column of weight (k, n), for activations of scale `activation`.

    The column's largest magnitude over 127, but not so small that the bias leaves int32 at the
    accumulator's scale.
    """
    import numpy as np

    scale = np.abs(weight).max(axis=0) / INT8_MAX
    largest = float(scale.max()) or 1.0
    scale = np.maximum(scale, largest / WEIGHT_SCALE_SPAN)
    if bias is not None:
        scale = np.maximum(scale, np.abs(bias) / ACCUMULATOR_LIMIT / activation)
    return np.asarray(scale, dtype=np.float64)
