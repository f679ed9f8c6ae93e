"""Integer graphs with random weights and plausible tables, for tests and benchmarks.

    made = IntegerGraph("layer")
    x = made.input("x", (1, 128, 384))
    graph = made.build((made.layernorm("norm", made.linear("output", x, 384, 384)),))

Shapes and widths are those of a quantized model; the numbers mean nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.dtypes import DType
from inferstack.ir.graph import Graph, TensorRole
from inferstack.ops import quantization
from inferstack.ops.builder import GraphBuilder

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class IntegerGraph:
    """Adds integer operators one by one; every value comes from one seeded generator."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self.builder = GraphBuilder(name)
        self.random = np.random.default_rng(seed)

    def build(self, outputs: tuple[str, ...]) -> Graph:
        """The verified graph."""
        return self.builder.build(outputs)

    def input(self, name: str, shape: tuple[int, ...]) -> str:
        """An int8 input."""
        return self.builder.tensor(name, shape, DType.INT8, TensorRole.INPUT)

    def table(self, name: str, size: int, prefix: str = "", low: float = 1e-4) -> dict[str, str]:
        """Slots of a rescale by factors between `low` and three times that, one per channel."""
        multiplier, shift = quantization.dyadic(self.random.uniform(low, 3 * low, size))
        values = {f"{prefix}multiplier": multiplier, f"{prefix}shift": shift}
        return {slot: self._constant(f"{name}.{slot}", data) for slot, data in values.items()}

    def linear(self, name: str, source: str, k: int, n: int, *, narrow: bool = False) -> str:
        """A matmul with bias; the result is int8 if narrow, else int32."""
        weight = self.random.integers(-127, 128, (k, n)).astype(np.int8)
        bias = self.random.integers(-9999, 9999, n).astype(np.int32)
        declare = self.builder.tensor
        inputs = {
            "a": source,
            "b": declare(f"{name}.w", (k, n), DType.INT8, TensorRole.WEIGHT, weight),
            "bias": declare(f"{name}.bias", (n,), DType.INT32, TensorRole.WEIGHT, bias),
        }
        return self.builder.add(
            "matmul", name, {**inputs, **(self.table(name, n) if narrow else {})}
        )

    def scores(self, name: str, query: str, key: str, heads: int) -> str:
        """Attention scores, int32."""
        split = {"heads": heads, "kv_heads": heads}
        return self.builder.add("attention_scores", name, {"query": query, "key": key}, split)

    def softmax(self, name: str, source: str) -> str:
        """A softmax, int8."""
        inputs = {"x": source, **self.table(name, 1, low=0.1)}
        return self.builder.add(
            "softmax", name, inputs, dict(quantization.exponential_attributes())
        )

    def context(self, name: str, probabilities: str, value: str, heads: int, width: int) -> str:
        """Probabilities times value, int8."""
        inputs = {"probabilities": probabilities, "value": value, **self.table(name, width)}
        split = {"heads": heads, "kv_heads": heads}
        return self.builder.add("attention_context", name, inputs, split)

    def layernorm(self, name: str, source: str) -> str:
        """A LayerNorm over the last axis, int8."""
        width = self.builder.tensors[source].shape[-1]
        gamma, beta, attributes = quantization.layernorm_tables(
            np.ones(width), np.zeros(width), epsilon=1e-5, input_scale=1e-3, output_scale=0.05
        )
        tables = {
            slot: self._constant(f"{name}.{slot}", data)
            for slot, data in (("gamma", gamma), ("beta", beta))
        }
        inputs = {"x": source, **tables, **self.table(name, width, low=0.01)}
        return self.builder.add("layernorm", name, inputs, dict(attributes))

    def residual(self, name: str, product: str, skip: str) -> str:
        """An int32 product plus an int8 tensor brought to its scale."""
        width = self.builder.tensors[product].shape[-1]
        inputs = {"a": product, "b": skip, **self.table(name, width, "b_", 10.0)}
        return self.builder.add("add", name, inputs)

    def gelu(self, name: str, source: str) -> str:
        """A GELU, int8."""
        width = self.builder.tensors[source].shape[-1]
        attributes, value_scale = quantization.gelu_attributes(1e-3)
        multiplier, shift = quantization.dyadic(value_scale / self.random.uniform(0.05, 0.1, width))
        inputs = {"x": source, **self.table(name, width, low=0.01)}
        for slot, data in (("out_multiplier", multiplier), ("out_shift", shift)):
            inputs[slot] = self._constant(f"{name}.{slot}", data)
        return self.builder.add("gelu", name, inputs, dict(attributes))

    def _constant(self, name: str, data: Array) -> str:
        return self.builder.tensor(name, data.shape, DType.INT32, TensorRole.CONSTANT, data)
