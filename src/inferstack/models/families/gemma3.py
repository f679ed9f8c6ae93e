"""Gemma 3: Gemma 2's layers with norms of heads, and of six layers five see a window.

Those turn by another base than the sixth.
Source: Gemma Team 2025, arXiv:2503.19786; transformers, models/gemma3.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Description
from inferstack.models.families.gemma import SANDWICHED, gemma_decoder, sandwiched
from inferstack.models.families.llama import NAMES
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import read_rotary_by_window, windows


class Gemma3Family(Family):
    """See the module."""

    model_types = frozenset({"gemma3_text"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        width = file.whole_or("head_dim", 256, 2**13)
        depth = file.whole("num_hidden_layers", 2**10)
        layer = sandwiched(file, width)
        key = "sliding_window_pattern"
        every = file.whole_or(key if key in file.content else f"_{key}", 6, 2**10)
        all_keys, near = read_rotary_by_window(
            file,
            width,
            theta=1e6,
            near_theta=file.number_or("rope_local_base_freq", 1e4, 1.0, 1e15),
        )
        return gemma_decoder(
            file,
            tuple(
                replace(
                    layer,
                    attention=replace(
                        layer.attention,
                        head_norm=layer.norm,
                        rotary=all_keys if window is None else near,
                        window=window,
                    ),
                )
                for window in windows(file, depth, size=4096, every=every)
            ),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return replace(NAMES, modules=SANDWICHED, offset=1.0)


ARCHITECTURE = Gemma3Family()
