"""`Perplexity`: how well a decoder predicts a text, to print and as data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from inferstack.api.shown import Record, Shown
from inferstack.generate.perplexity import Perplexity as Found

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, kw_only=True, repr=False)
class Perplexity(Shown, Found):
    """e to the mean of `nats` over the `scored` tokens, those of `tokens` that are behind another.

    value: infinite where it is beyond a float. window, stride: of the tokens read at once.
    """

    model: str

    def table(self) -> RenderableType:
        """One line, for rich."""
        from rich.text import Text

        return Text(
            f"perplexity {self.value:.4f} over {self.scored:,} tokens "
            f"(windows of {self.window:,}, stride {self.stride:,})"
        )

    def to_dict(self) -> Record:
        """All of it; an infinite value is None."""
        value = self.value if math.isfinite(self.value) else None
        return {"model": self.model, "perplexity": value, **asdict(self)}

    def records(self) -> list[Record]:
        """One row."""
        return [self.to_dict()]
