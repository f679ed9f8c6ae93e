"""PaLM by name: parallel layers, one head of keys and values, SwiGLU, rotary positions, no biases.

No weights are public, and no file format of a folder is known: the three sizes of the paper alone.
Source: Chowdhery et al. 2022, arXiv:2204.02311, section 2 and table 1; 4 d wide feed-forwards and
heads 256 wide follow from its table.
"""

from __future__ import annotations

from inferstack.models.architecture import HuggingFaceForm
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    FeedForward,
    Head,
    Layer,
    Norm,
)
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.rotary import Rotary

EPSILON = 1e-6
"""The paper does not say it."""


class PalmFamily(Family):
    """See the module."""

    model_types = frozenset({"palm"})
    reads_weights = False

    @property
    def hugging_face(self) -> HuggingFaceForm | None:
        """There is no such folder."""
        return None

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, width = file.whole("d_model", 2**17), file.whole("head_dim", 2**13)
        norm = Norm(kind="layernorm", epsilon=EPSILON, bias=False)
        layer = Layer(
            attention=Attention(
                heads=file.whole("heads", 2**12),
                kv_heads=1,
                width=width,
                rotary=Rotary(width=width, theta=10000.0),
            ),
            feed_forward=FeedForward(inner=4 * hidden, activation="silu", gated=True),
            norm=norm,
            arrangement=Arrangement.PARALLEL,
        )
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=(layer,) * file.whole("layers", 2**10),
            longest=file.whole("sequence_length", 2**24),
            causal=True,
            final_norm=norm,
            head=Head(tied=True),
        )

    def names(self, description: Description) -> Names:
        """Never asked: see the class."""
        raise AssertionError("PaLM's weights are not public")


ARCHITECTURE = PalmFamily()
