"""What a view is of: a tensor that stands in the graph, or an operator that is not written yet.

Matmuls wait, as what follows may be a bias, a part of their columns, or a factor; so do scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from inferstack.models.onnx.view import Axes, shape_of

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Constant:
    """A known array. name: what it is, once; origin: the tensor of the file it is made of."""

    name: str
    origin: str
    shape: tuple[int, ...]
    values: Callable[[], Array]
    turned: Constant | None = None
    """Whose transpose it is."""

    def made(self, what: str, shape: tuple[int, ...], change: Callable[[Array], Array]) -> Constant:
        """Another one, that `change` makes of this one's values."""
        return Constant(
            name=f"{self.name}:{what}",
            origin=self.origin,
            shape=shape,
            values=lambda: change(self.values()),
        )

    def transposed(self) -> Constant:
        """A matrix turned around."""
        if self.turned is not None:
            return self.turned
        made = self.made("T", self.shape[::-1], lambda x: x.T)
        return replace(made, turned=self)

    def reshaped(self, shape: tuple[int, ...]) -> Constant:
        """In another shape."""
        if shape == self.shape:
            return self
        return self.made(f"as{shape}", shape, lambda x: x.reshape(shape))

    def columns(self, chosen: Array, what: str) -> Constant:
        """Some of the last axis."""
        return self.made(what, (*self.shape[:-1], len(chosen)), lambda x: x[..., chosen])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """A tensor that stands in the graph."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear:
    """x W + b. x: a tensor of the graph, (..., k); weight (k, n)."""

    x: Stored
    weight: Constant
    bias: Constant | None
    node: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return (*self.x.shape[:-1], self.weight.shape[1])

    def columns(self, chosen: Array, what: str) -> Linear:
        """Some of the results' last axis."""
        return replace(
            self,
            weight=self.weight.columns(chosen, what),
            bias=None if self.bias is None else self.bias.columns(chosen, what),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lookup:
    """Rows of a table by ids, a tensor of the graph. integers: the table is still quantized."""

    ids: Stored
    table: Constant
    node: str
    integers: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return (*self.ids.shape, self.table.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """Query times key of each head."""

    query: Stored
    key: Stored
    heads: int
    kv_heads: int
    node: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return (self.query.shape[0], self.heads, self.query.shape[1], self.key.shape[1])


Source = Stored | Linear | Lookup | Scores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """A value of the file: `factor` times what lies at `axes` of the source.

    per: the unit by whose number it is too large yet, of a matmul of integers; see `Unit`.
    """

    source: Source
    axes: Axes
    factor: float = 1.0
    per: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the value."""
        return shape_of(self.axes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unit:
    """What one unit of a value that is quantized as it runs is worth, times `factor`."""

    name: str
    factor: Constant | None = field(default=None)
