"""EXAONE 4: norms behind each branch and of each head; of the large one some layers see a window.

Those alone turn, where there are some; else all do.
Source: LG AI Research 2025, arXiv:2507.11407; transformers, models/exaone4.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    FeedForward,
    Head,
    Layer,
)
from inferstack.models.families.llama import NAMES
from inferstack.models.families.olmo import BEHIND
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import (
    LONGEST_SEQUENCE,
    activation,
    decoder,
    head_sizes,
    read_rotary,
    rmsnorm,
    windows,
)


class Exaone4Family(Family):
    """See the module."""

    model_types = frozenset({"exaone4"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, kv_heads, width = head_sizes(file)
        norm = rmsnorm(file, 1e-5)
        depth = file.whole("num_hidden_layers", 2**10)
        rotary = read_rotary(file, width)
        layer = Layer(
            attention=Attention(
                heads=heads, kv_heads=kv_heads, width=width, rotary=rotary, head_norm=norm
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act"),
                gated=True,
            ),
            norm=norm,
            arrangement=Arrangement.BEHIND,
        )
        seen: list[int | None] = [None] * depth
        mixed = "sliding_window" not in file.content or file.has("sliding_window")
        if mixed:
            seen = windows(file, depth, size=4096, every=_every(file))
        layers = tuple(
            replace(
                layer,
                attention=replace(
                    layer.attention,
                    window=window,
                    rotary=None if mixed and window is None else rotary,
                ),
            )
            for window in seen
        )
        head = Head(tied=file.flag("tie_word_embeddings", False))
        return decoder(file, hidden, layers, norm, head)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return replace(NAMES, modules=BEHIND)


def _every(file: ConfigFile) -> int | None:
    """Which layers see all keys, where layer_types does not say it."""
    if file.has("layer_types"):
        return None
    return file.whole_or("sliding_window_pattern", 4, LONGEST_SEQUENCE)


ARCHITECTURE = Exaone4Family()
