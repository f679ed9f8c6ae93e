"""Phi-3, 3.5 and Phi-4: Llama's layers with fused projections and LongRoPE.

Source: Abdin et al. 2024, arXiv:2404.14219 and arXiv:2412.08905; transformers, models/phi3.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Attention, Description, FeedForward, Head, Layer
from inferstack.models.families.llama import MODULES, NAMES
from inferstack.models.family import Family
from inferstack.models.names import Names, Part, qkv
from inferstack.models.reading import (
    activation,
    decoder,
    head_sizes,
    read_rotary,
    rmsnorm,
    windows,
)


def gate_and_up(inner: int) -> dict[str, Part]:
    """Both of a gated feed-forward in one tensor, the gate first."""
    return {
        name: Part(groups=1, sizes=(inner, inner), index=index)
        for index, name in enumerate(("gate", "intermediate"))
    }


class Phi3Family(Family):
    """See the module."""

    model_types = frozenset({"phi3"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, kv_heads, width = head_sizes(file)
        norm = rmsnorm(file, 1e-5)
        depth = file.whole("num_hidden_layers", 2**10)
        rotary = read_rotary(_named_anew(file), width)
        layers = tuple(
            Layer(
                attention=Attention(
                    heads=heads, kv_heads=kv_heads, width=width, rotary=rotary, window=window
                ),
                feed_forward=FeedForward(
                    inner=file.whole("intermediate_size", 2**20),
                    activation=activation(file, "hidden_act"),
                    gated=True,
                ),
                norm=norm,
            )
            for window in windows(file, depth)
        )
        head = Head(tied=file.flag("tie_word_embeddings", False))
        return decoder(file, hidden, layers, norm, head)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        layer = description.layers[0]
        of = layer.attention
        fused = dict.fromkeys(("query", "key", "value"), "self_attn.qkv_proj")
        wide = dict.fromkeys(("gate", "intermediate"), "mlp.gate_up_proj")
        return replace(
            NAMES,
            modules={**MODULES, **fused, **wide},
            parts={
                **qkv(of.heads, of.kv_heads, of.width),
                **gate_and_up(layer.feed_forward.inner),
            },
        )


def _named_anew(file: ConfigFile) -> ConfigFile:
    """Early files call longrope su, or by mistake yarn."""
    said = file.content.get("rope_scaling")
    if isinstance(said, dict) and said.get("type") in ("su", "yarn"):
        scaling = {**said, "type": "longrope"}
        return ConfigFile(file.where, {**file.content, "rope_scaling": scaling})
    return file


ARCHITECTURE = Phi3Family()
