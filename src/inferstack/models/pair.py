"""`Towers`: a text and an image side by side, in words."""

from __future__ import annotations

from dataclasses import dataclass

from inferstack.models.description import Description


@dataclass(frozen=True, kw_only=True)
class Towers:
    """A text and an image, each made a vector by a stack of its own; their products, of unit
    length, times the exponential of a learned number, plus another one with `bias`, say how well
    they match. Weights of the stacks begin with "text." and "vision."."""

    text: Description
    vision: Description
    bias: bool

    @property
    def depth(self) -> int:
        """Layers of both."""
        return self.text.depth + self.vision.depth

    @property
    def hidden(self) -> int:
        """Width of the text's hidden state."""
        return self.text.hidden

    @property
    def vocabulary(self) -> int:
        """Words."""
        return self.text.vocabulary

    @property
    def causal(self) -> bool:
        """Whether a token of a text sees the earlier ones alone."""
        return self.text.causal

    @property
    def longest_sequence(self) -> int:
        """Tokens of a text that it has positions for."""
        return self.text.longest
