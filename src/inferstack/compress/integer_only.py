"""Integer-only inference: every operator of the encoder on int8 and int32, no float in between.

i-GELU, i-softmax and i-LayerNorm work on the int32 accumulator and hand on int8; a residual add
brings the int8 operand to the accumulator's scale, so that it can be accumulated in place. Only the
last hidden state is dequantized, for the pooling on the host. An operator without integer form runs
in floating point on the host too, on dequantized operands; what reads its result as integers gets
it in 16 bits, and the array in 8.
Source: I-BERT, Kim et al. 2021, arXiv:2101.01321.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inferstack.compress.calibration import Calibration
from inferstack.compress.crossing import CrossingLowering
from inferstack.compress.lowering import ARRAY_KINDS, Integer, number, tensor_scale
from inferstack.core.dtypes import DType
from inferstack.ir.graph import Graph, Operator, TensorRole
from inferstack.ops.kernels.gates import PART_BITS, PARTS_MAX
from inferstack.ops.kernels.positions import ANGLE_BITS
from inferstack.ops.quantization import (
    EXP_SCALE,
    INT8_MAX,
    exponential_attributes,
    gelu_attributes,
    gelu_input_scale,
    layernorm_tables,
    quantize,
)
from inferstack.ops.rotary import cosine_sine, integer_angles
from inferstack.ops.rows import row_width

if TYPE_CHECKING:
    from inferstack.compress.lowering import Scale

HOST_KINDS = frozenset({"mean_pool", "token_pool"})
"""Kinds from which on all is in floating point on the host, behind the last integer operator."""
TABLE_KINDS = frozenset({"embedding", "position_embedding"})
VECTOR_KINDS = frozenset(
    {
        "append_cache",
        "add",
        "gelu",
        "layernorm",
        "multiply",
        "relu",
        "rmsnorm",
        "rotary",
        "scale",
        "silu",
        "softmax",
    }
)
FORMS = ARRAY_KINDS | TABLE_KINDS | VECTOR_KINDS
"""Kinds with an integer form."""
STATIC = frozenset({TensorRole.WEIGHT, TensorRole.CONSTANT})
NORM_HEADROOM = 4.0
"""i-LayerNorm's common scale covers the calibrated range so many times before it clips at 2^20."""
SUM_BITS = 16
"""Bits below an int8 unit in the sum of two int8 tensors."""
PRODUCT_HEADROOM = 2.0
"""16 bits of a product's operands cover the calibrated range so many times before they clip."""


class IntegerOnly:
    """The method: see the module."""

    name = "integer-only"
    description = "integer-only softmax, LayerNorm and GELU; nothing is dequantized in between"

    def apply(self, graph: Graph, calibration: Calibration) -> Graph:
        """The program: integers, but for what has no integer form, which stays on the host.

        Raises InputError for weights without values.
        """
        lowering = _IntegerLowering(graph, calibration, self.name)
        for operator in graph.operators:
            lowering.lower(operator)
        return lowering.builder.build(tuple(lowering.as_float(name) for name in graph.outputs))


class _IntegerLowering(CrossingLowering):
    """One method per kind. low: of products in two parts, the low ones; `integers` has the high.
    behind: the tensors behind a pooling.
    """

    def __init__(self, graph: Graph, calibration: Calibration, name: str) -> None:
        super().__init__(graph, calibration, name)
        self.low: dict[str, str] = {}
        self.behind: set[str] = set()

    def lower(self, operator: Operator) -> None:
        """Add the integer form of an operator."""
        consumers = self.graph.consumers(operator.output)
        narrow = any(user.kind in ARRAY_KINDS | {"append_cache"} for user in consumers)
        if not self.takes_integers(operator):
            if operator.kind in HOST_KINDS or self.behind & {*operator.inputs.values()}:
                self.behind.add(operator.output)
            self.host(operator)
            return
        match operator.kind:
            case "matmul" if operator.inputs["a"] in self.low:
                self.matmul_of_parts(operator)
            case "matmul":
                self.matmul(operator, narrow)
            case "attention_scores":
                self.attention_scores(operator)
            case "attention_context":
                self.attention_context(operator, narrow)
            case "embedding" | "position_embedding":
                self.embedding(operator)
            case "append_cache":
                self.append_cache(operator)
            case "add":
                self.add(operator)
            case "layernorm":
                self.layernorm(operator)
            case "softmax":
                self.softmax(operator)
            case "rmsnorm":
                self.rmsnorm(operator)
            case "gelu":
                self.gelu(operator)
            case "silu":
                self.silu(operator)
            case "multiply":
                self.multiply(operator)
            case "rotary":
                self.rotary(operator)
            case "scale":
                self.scale(operator)
            case "relu":
                self.relu(operator)

    def takes_integers(self, user: Operator) -> bool:
        """Whether an operator has an integer form here; the others stay on the host."""
        if user.kind not in FORMS or self.behind & {*user.inputs.values()}:
            return False
        first = self.graph.tensors[next(iter(user.inputs.values()))]
        if user.kind in TABLE_KINDS:
            return first.role is TensorRole.WEIGHT
        if user.kind in ARRAY_KINDS:
            return self.on_array(user)
        if first.role in STATIC:
            return False
        if user.kind == "softmax":
            return "sinks" not in user.inputs and self.probabilities_only(user)
        if user.kind == "relu":
            return user.inputs["x"] in self.integers
        if user.kind == "scale":
            return number(user, "factor") > 0
        if user.kind == "layernorm":
            return row_width(first.shape, user.attributes) == first.shape[-1]
        return True

    def integer(self, operator: Operator, slot: str) -> Integer:
        """The integer form of an operand; of 16 bits where the host or the weights have it."""
        name = operator.inputs[slot]
        if name not in self.integers and self.graph.tensors[name].role in STATIC:
            self.integers[name] = self.static_sixteen(name, self.weight(operator, slot))
        elif name not in self.integers:
            self.as_float(name)
            self.integers[name] = self.sixteen(operator, name)
        return self.integers[name]

    def embedding(self, operator: Operator) -> None:
        """An int8 table with a scale per column, gathered as before."""
        import numpy as np

        table = self.weight(operator, "table")
        absmax = np.abs(table).max(axis=0)
        scale = np.where(absmax > 0, absmax, 1.0) / INT8_MAX
        name = self.static(
            operator.inputs["table"], quantize(table, scale), DType.INT8, TensorRole.WEIGHT, scale
        )
        inputs = {"table": name, "ids": self.as_float(operator.inputs["ids"])}
        self.emit(operator, inputs, scale, dict(operator.attributes))

    def relu(self, operator: Operator) -> None:
        """int32 (or int8) -> int8."""
        x = self.integer(operator, "x")
        scale = self.channel_scale(operator.output)
        inputs = {"x": x.tensor, **self.tables(operator.name, x.scale / scale)}
        self.emit(operator, inputs, scale)

    def scale(self, operator: Operator) -> None:
        """The same integers, each worth so many times more."""
        x = self.integer(operator, "x")
        scale = x.scale * number(operator, "factor")
        self.integers[operator.output] = dataclasses.replace(x, scale=scale)

    def append_cache(self, operator: Operator) -> None:
        """The new rows as they are: the cache holds int8 at their scale."""
        x = self.int8(operator, "x")
        name = operator.inputs["cache"]
        cache = dataclasses.replace(self.builder.tensors[name], dtype=DType.INT8)
        self.builder.tensors[name] = dataclasses.replace(cache, scale=tensor_scale(x.scale))
        self.emit(operator, {"cache": name, "x": x.tensor}, x.scale)

    def add(self, operator: Operator) -> None:
        """int32 at the scale of the int32 operand; of two int8, 16 bits below the larger scale."""
        a, b = self.integer(operator, "a"), self.integer(operator, "b")
        if b.dtype is DType.INT32 and a.dtype is not DType.INT32:
            a, b = b, a
        inputs = {"a": a.tensor, "b": b.tensor}
        scale = a.scale
        if a.dtype is not DType.INT32:
            units = [side.scale.max() * 2.0 ** (side.dtype.bits - 8) for side in (a, b)]
            scale = max(units).reshape(1) / 2**SUM_BITS
            inputs |= self.tables(operator.name, a.scale / scale, "a_")
        inputs |= self.tables(operator.name, b.scale / scale, "b_")
        self.emit(operator, inputs, scale)

    def layernorm(self, operator: Operator) -> None:
        """int32 (or int8) -> int8; gamma and beta are integer tables at the output's scale."""
        import numpy as np

        x = self.integer(operator, "x")
        absmax = self.calibration.of(operator.inputs["x"]).absmax or 1.0
        common = np.array([NORM_HEADROOM * absmax / 2**20])
        scale = self.channel_scale(operator.output)
        gamma = self.weight(operator, "gamma")
        beta = self.weight(operator, "beta") if "beta" in operator.inputs else np.zeros_like(gamma)
        gamma, beta, attributes = layernorm_tables(
            gamma,
            beta,
            epsilon=number(operator, "epsilon"),
            input_scale=float(common[0]),
            output_scale=scale,
        )
        inputs = {"x": x.tensor, **self.tables(operator.name, x.scale / common)}
        for slot, data in (("gamma", gamma), ("beta", beta)):
            name = operator.inputs.get(slot, f"{operator.name}.{slot}")
            inputs[slot] = self.static(name, data, DType.INT32, TensorRole.CONSTANT)
        self.emit(operator, inputs, scale, dict(attributes))

    def rmsnorm(self, operator: Operator) -> None:
        """int32 (or int8) -> int8; gamma is an integer table at the output's scale."""
        import numpy as np

        x = self.integer(operator, "x")
        shape = self.graph.tensors[operator.output].shape
        width = row_width(shape, operator.attributes)
        absmax = self.calibration.of(operator.inputs["x"]).absmax or 1.0
        common = np.array([NORM_HEADROOM * absmax / 2**20])
        scale = self.channel_scale(operator.output)
        gamma = np.broadcast_to(self.weight(operator, "gamma"), (shape[-1] // width, width))
        one_row = width == shape[-1] or (scale.size == 1 and (gamma == gamma[0]).all())
        gamma = gamma[0] if one_row else gamma.reshape(-1)
        table, _, attributes = layernorm_tables(
            gamma,
            np.zeros_like(gamma),
            epsilon=number(operator, "epsilon"),
            input_scale=float(common[0]),
            output_scale=scale,
            width=width,
        )
        inputs = {"x": x.tensor, **self.tables(operator.name, x.scale / common)}
        table = table if one_row else table.reshape(-1, width)
        name = operator.inputs["gamma"]
        inputs["gamma"] = self.static(name, table, DType.INT32, TensorRole.CONSTANT)
        said = {"width": width} if "width" in operator.attributes else {}
        self.emit(operator, inputs, scale, {**said, **attributes})

    def softmax(self, operator: Operator) -> None:
        """int32 scores -> int8 probabilities, each row at a scale of its own."""
        x = self.integer(operator, "x")
        inputs = {"x": x.tensor, **self.tables(operator.name, x.scale / EXP_SCALE)}
        if "mask" in operator.inputs:
            inputs["mask"] = self.floats[operator.inputs["mask"]]
        attributes = {**operator.attributes, **exponential_attributes()}
        self.probabilities_only(operator)
        self.emit(operator, inputs, None, attributes)

    def gelu(self, operator: Operator) -> None:
        """int32 -> int8 by i-GELU, whatever approximation the float operator takes."""
        import numpy as np

        x = self.integer(operator, "x")
        common = gelu_input_scale(self.calibration.of(operator.inputs["x"]).absmax)
        attributes, value_scale = gelu_attributes(common)
        scale = self.channel_scale(operator.output)
        inputs = {"x": x.tensor, **self.tables(operator.name, x.scale / np.array([common]))}
        inputs |= self.tables(operator.name, value_scale / scale, "out_")
        self.emit(operator, inputs, scale, dict(attributes))

    def silu(self, operator: Operator) -> None:
        """int32 -> int8, or 16 bits where a product reads it."""
        import numpy as np

        x = self.integer(operator, "x")
        readers = self.graph.consumers(operator.output)
        wide = bool(readers) and all(user.kind == "multiply" for user in readers)
        unit = self.product_scale if wide else self.channel_scale
        scale = unit(operator.output)
        inputs = {"x": x.tensor, **self.tables(operator.name, x.scale / EXP_SCALE)}
        inputs |= self.tables(operator.name, np.array([EXP_SCALE]) / scale, "out_")
        attributes = {**exponential_attributes(), "bits": 16 if wide else 8}
        self.emit(operator, inputs, scale, attributes)

    def multiply(self, operator: Operator) -> None:
        """int8 of two operands at 16 bits; int8 ones are as they are."""
        inputs, product = dict[str, str](), 1.0
        for slot in ("a", "b"):
            value, name = self.integer(operator, slot), operator.inputs[slot]
            inputs[slot] = value.tensor
            common = value.scale
            if value.dtype is DType.INT32 or value.scale.size > 1:
                common = self.product_scale(name)
                if value.scale.size > 1 or value.scale[0] != common[0]:
                    inputs |= self.tables(operator.name, value.scale / common, f"{slot}_")
            product *= float(common[0])
        if not self.in_parts(operator.output):
            scale = self.channel_scale(operator.output)
            inputs |= self.tables(operator.name, product / scale, "out_")
            self.emit(operator, inputs, scale)
            return
        scale = self.channel_scale(operator.output, PARTS_MAX)
        inputs |= self.tables(operator.name, product / scale, "out_")
        name = f"{operator.name}.low"
        self.low[operator.output] = self.builder.add(
            "multiply", name, inputs, {"part": "low"}, part=operator.part, scale=tensor_scale(scale)
        )
        self.emit(operator, inputs, scale * 2**PART_BITS, {"part": "high"})

    def in_parts(self, product: str) -> bool:
        """Whether a product is two int8: where only matmuls read it whose results stay int32."""
        readers = self.graph.consumers(product)
        return bool(readers) and all(
            user.kind == "matmul"
            and user.inputs["a"] == product
            and not any(one.kind in ARRAY_KINDS for one in self.graph.consumers(user.output))
            for user in readers
        )

    def matmul_of_parts(self, operator: Operator) -> None:
        """Each part times the same weight; the low sum is brought to the high one's scale."""
        import numpy as np

        self.matmul(operator, requantize_output=False)
        high = self.integers[operator.output]
        made = self.builder.operators[-1]
        name = f"{operator.name}.low"
        inputs = {"a": self.low[operator.inputs["a"]], "b": made.inputs["b"]}
        low = self.builder.add(
            "matmul", name, inputs, made.attributes, part=operator.part,
            scale=tensor_scale(high.scale / 2**PART_BITS),
        )  # fmt: skip
        name = f"{operator.name}.sum"
        ratio = np.array([2.0**-PART_BITS])
        inputs = {"a": high.tensor, "b": low, **self.tables(name, ratio, "b_")}
        whole = self.builder.add(
            "add", name, inputs, part=operator.part, scale=tensor_scale(high.scale)
        )
        self.integers[operator.output] = Integer(tensor=whole, dtype=DType.INT32, scale=high.scale)

    def product_scale(self, tensor: str) -> Scale:
        """The scale (1,) of 16 bits that a product takes."""
        import numpy as np

        return np.array([PRODUCT_HEADROOM * (self.calibration.of(tensor).absmax or 1.0) / 2**15])

    def rotary(self, operator: Operator) -> None:
        """int32 (or int8) -> int8; cosines and sines are integer tables."""

        x = self.integer(operator, "x")
        common = self.product_scale(operator.inputs["x"])
        scale = self.activation_scale(operator.output)
        inputs = {"x": x.tensor, **self.tables(operator.name, x.scale / common)}
        inputs |= self.tables(operator.name, common / 2**ANGLE_BITS / scale, "out_")
        _, tokens, width = self.graph.tensors[operator.output].shape
        attributes: Mapping[str, Any] = operator.attributes
        first, each = int(attributes.get("first", 0)), width // int(attributes["heads"])
        for slot, table in zip(
            ("cosine", "sine"), cosine_sine(first, tokens, each, attributes), strict=True
        ):
            values = integer_angles(table)
            inputs[slot] = self.static(f"rotary.{slot}", values, DType.INT32, TensorRole.CONSTANT)
        self.emit(operator, inputs, scale, dict(operator.attributes))


METHOD = IntegerOnly()
