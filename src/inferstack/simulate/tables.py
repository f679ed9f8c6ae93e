"""The configurations of a program and the constants they point into, from an operator's tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inferstack.core.errors import InputError
from inferstack.ir.graph import Graph, Operator
from inferstack.ops.kernels.reference import PARTS
from inferstack.ops.quantization import constants as packed_constants
from inferstack.ops.rows import row_width
from inferstack.simulate import isa

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

IDENTITY = (2, 1)
"""Multiplier and shift of the rescale that changes nothing."""
TABLE_ENTRY_BYTES = 5
"""A multiplier of 32 bits and a shift of 8 in a config's payload."""
WORD_BYTES = 4
TURN_BYTES = 2
"""Of a cosine or a sine: 14 bits behind the point."""
ACTIVATIONS = {"gelu": isa.GELU, "silu": isa.SILU}


class Tables:
    """Collects configurations, their payload sizes and the pool of constants."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.configurations: list[dict[str, int]] = []
        self.payload_bytes: list[int] = []
        self.pool: list[Array] = []
        self.length = 0

    def place(self, values: Array) -> int:
        """Puts int64 values into the pool; returns their position."""
        at = self.length
        self.pool.append(np.ascontiguousarray(values, dtype=np.int64).reshape(-1))
        self.length += self.pool[-1].size
        return at

    def rescale(
        self, operator: Operator, prefix: str, element: int | None = None
    ) -> dict[str, int]:
        """Entries multiplier, shift, per_channel of `<prefix>multiplier`; identity where absent.

        element: take this one entry only (a table with one entry per head).
        """
        multiplier, shift = self.factors_of(operator, prefix)
        if element is not None and multiplier.size > 1:
            multiplier, shift = multiplier[element : element + 1], shift[element : element + 1]
        return {
            "multiplier": self.place(multiplier),
            "shift": self.place(shift),
            "per_channel": multiplier.size,
        }

    def factors_of(self, operator: Operator, prefix: str) -> tuple[Array, Array]:
        """The multipliers and shifts themselves."""
        if f"{prefix}multiplier" not in operator.inputs:
            return np.array(IDENTITY[:1]), np.array(IDENTITY[1:])
        return self.data(operator, f"{prefix}multiplier"), self.data(operator, f"{prefix}shift")

    def data(self, operator: Operator, slot: str) -> Array:
        """The values of a constant operand. Raises InputError where it has none."""
        tensor = self.graph.tensors[operator.inputs[slot]]
        if tensor.data is None:
            raise InputError(
                f"operator {operator.name}",
                f"the table {tensor.name} has no values",
                hint="simulate a compressed graph with weights",
            )
        return np.asarray(tensor.data)

    def add(self, command: int, payload_bytes: int, **entries: int) -> int:
        """Appends a configuration; returns its number."""
        empty = dict.fromkeys(isa.CONFIGURATION.names or (), 0)
        defaults = {**empty, "mask": -1}
        self.configurations.append({**defaults, "command": command, **entries})
        self.payload_bytes.append(payload_bytes)
        return len(self.configurations) - 1

    def plain(self, by_row: bool = False) -> int:
        """int32 as it is, or times the factor of its row."""
        return self.add(isa.NONE, 0, by_row=int(by_row))

    def scale_in(self, operator: Operator, prefix: str) -> int:
        """The table of a scaled mvin: an operand of a residual add."""
        entries = self.rescale(operator, prefix)
        return self.add(isa.RESCALE, entries["per_channel"] * TABLE_ENTRY_BYTES, **entries)

    def requantize(self, operator: Operator, by_row: bool = False) -> int:
        """int32 to int8 by the operator's table, behind the factor of its row if `by_row`."""
        entries = self.rescale(operator, "") | {"by_row": int(by_row)}
        return self.add(isa.REQUANTIZE, entries["per_channel"] * TABLE_ENTRY_BYTES, **entries)

    def factor(self, operator: Operator, slot: str) -> int:
        """The table of a multiplying mvin of `slot`: its own rescale, and that of what is there."""
        entries = self.rescale(operator, f"{slot}_")
        there = self.rescale(operator, "b_" if slot == "a" else "a_")
        entries |= {"first": there["multiplier"], "second": there["shift"]}
        entries |= {"first_length": there["per_channel"]}
        size = (entries["per_channel"] + there["per_channel"]) * TABLE_ENTRY_BYTES
        return self.add(isa.RESCALE, size, **entries)

    def product(self, operator: Operator) -> int:
        """A product of two tensors to int8, or to a part of 15 bits, by the operator's table."""
        entries = self.rescale(operator, "out_")
        part = PARTS[str(operator.attributes.get("part", "whole"))]
        entries |= {"constants": self.place(np.array([part])), "constants_length": 1}
        return self.add(isa.MULTIPLIED, entries["per_channel"] * TABLE_ENTRY_BYTES, **entries)

    def activation(self, operator: Operator) -> int:
        """GELU or SiLU with its input and output tables, to as many bits as it says."""
        entries, out = self.rescale(operator, ""), self.rescale(operator, "out_")
        entries |= {
            "first": out["multiplier"],
            "second": out["shift"],
            "first_length": out["per_channel"],
        }
        size = (entries["per_channel"] + out["per_channel"]) * TABLE_ENTRY_BYTES
        limits = []
        if operator.kind == "silu":
            limits = [2 ** (int(operator.attributes.get("bits", 8)) - 1) - 1]  # type: ignore[arg-type]
        return self._with_constants(ACTIVATIONS[operator.kind], operator, size, entries, *limits)

    def layernorm(self, operator: Operator) -> int:
        """i-LayerNorm with its input table, gamma and beta."""
        entries = self.rescale(operator, "")
        gamma, beta = self.data(operator, "gamma"), self.data(operator, "beta")
        entries |= {"first": self.place(gamma), "second": self.place(beta)}
        entries |= {"first_length": gamma.size, "width": gamma.size, "columns": gamma.size}
        size = entries["per_channel"] * TABLE_ENTRY_BYTES + 2 * gamma.size * WORD_BYTES
        return self._with_constants(isa.LAYERNORM, operator, size, entries)

    def rmsnorm(self, operator: Operator) -> int:
        """RMSNorm of parts of a row, with its input table and gamma."""
        entries = self.rescale(operator, "")
        gamma, columns = self.data(operator, "gamma"), self.graph.result(operator).shape[-1]
        entries |= {"first": self.place(gamma), "first_length": gamma.size, "columns": columns}
        entries["width"] = row_width((columns,), operator.attributes)
        size = entries["per_channel"] * TABLE_ENTRY_BYTES + gamma.size * WORD_BYTES
        return self._with_constants(isa.RMSNORM, operator, size, entries)

    def rotary(self, operator: Operator) -> int:
        """A rotation of the heads of a row, with its tables, cosines and sines."""
        entries, out = self.rescale(operator, ""), self.rescale(operator, "out_")
        cosine, sine = self.data(operator, "cosine"), self.data(operator, "sine")
        columns, said = self.graph.result(operator).shape[-1], dict[str, Any](operator.attributes)
        entries |= {"first": self.place(cosine), "second": self.place(sine)}
        entries |= {"first_length": cosine.shape[1], "columns": columns}
        entries["width"] = columns // int(said["heads"])
        constants = [int(said.get("skipped", 0)), int(said.get("interleaved", False))]
        narrowing = [int(values[0]) for values in self.factors_of(operator, "out_")]
        entries |= {"constants": self.place(np.array([*constants, *narrowing]))}
        entries["constants_length"] = 4
        size = (entries["per_channel"] + out["per_channel"]) * TABLE_ENTRY_BYTES
        return self.add(isa.ROTARY, size + 2 * cosine.size * TURN_BYTES, **entries)

    def softmax(self, operator: Operator, head: int, mask: int) -> int:
        """i-softmax of one head's rows; mask: operand number of the flags, or -1."""
        tokens, context = self.graph.result(operator).shape[-2:]
        entries = self.rescale(operator, "", head)
        entries |= {"width": context, "columns": context, "mask": mask, "offset": context - tokens}
        entries["causal"] = int(bool(operator.attributes.get("causal", False)))
        entries["window"] = int(operator.attributes.get("window", 0))  # type: ignore[arg-type]
        size = TABLE_ENTRY_BYTES + (context if mask >= 0 else 0)
        return self._with_constants(isa.SOFTMAX, operator, size, entries)

    def _with_constants(
        self, command: int, operator: Operator, size: int, entries: dict[str, int], *more: int
    ) -> int:
        constants = np.append(packed_constants(operator.kind, operator.attributes), more)
        entries |= {"constants": self.place(constants), "constants_length": constants.size}
        return self.add(command, size + constants.size * WORD_BYTES, **entries)

    def packed(self) -> tuple[Array, Array]:
        """(configurations, pool)."""
        rows = self.configurations or [dict.fromkeys(isa.CONFIGURATION.names or (), 0)]
        made = np.zeros(len(rows), dtype=isa.CONFIGURATION)
        for name in isa.CONFIGURATION.names or ():
            made[name] = [row[name] for row in rows]
        pool = np.concatenate(self.pool) if self.pool else np.zeros(1, dtype=np.int64)
        return made, pool
