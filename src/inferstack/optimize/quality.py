"""`Quality`: how good a compressed model is at its task, as figures that a report can show."""

from __future__ import annotations

from dataclasses import dataclass

from inferstack.compress.accuracy import LengthAccuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A figure. key: its name in JSON. label: the head of its column. spec: of `format`, after the
    value is multiplied by `times`. meaning: for who sees the figure alone.
    """

    key: str
    label: str
    value: float
    spec: str = ".4f"
    times: float = 1.0
    unit: str = ""
    meaning: str = ""

    @property
    def text(self) -> str:
        """As people read it; what rounds to zero has no sign."""
        return f"{self.times * self.value:{self.spec}}{self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The figures of one model, the most telling one first. by_length: cosines of embeddings by the
    tokens of their sentences, where the task has them."""

    measures: tuple[Measure, ...]
    by_length: tuple[LengthAccuracy, ...] = ()

    def value(self, key: str) -> float:
        """The measure of that key."""
        return next(measure.value for measure in self.measures if measure.key == key)
