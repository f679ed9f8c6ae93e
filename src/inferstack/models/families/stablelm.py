"""StableLM: Llama's layers with layernorms, a quarter of each head turns.

The 12b norms each head with gains of its own, and has one norm for both branches.
Source: Bellagente et al. 2024, arXiv:2402.17834; transformers, models/stablelm.
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
from inferstack.models.families.llama import MODULES, NAMES
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import activation, decoder, head_sizes, layernorm, read_rotary


class StableLmFamily(Family):
    """See the module."""

    model_types = frozenset({"stablelm"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, kv_heads, width = head_sizes(file)
        norm = layernorm(file)
        normed = file.flag("qk_layernorm", False)
        parallel = file.flag("use_parallel_residual", False)
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=kv_heads,
                width=width,
                bias=file.flag("use_qkv_bias", False),
                rotary=read_rotary(file, width, part=0.25),
                head_norm=replace(norm, bias=False) if normed else None,
                norm_each=normed,
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act"),
                gated=True,
            ),
            norm=norm,
            arrangement=Arrangement.PARALLEL if parallel else Arrangement.PRE,
        )
        layers = (layer,) * file.whole("num_hidden_layers", 2**10)
        head = Head(tied=file.flag("tie_word_embeddings", False))
        return decoder(file, hidden, layers, norm, head)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        norms = {
            "query_norm": "self_attn.q_layernorm.norms.{e}",
            "key_norm": "self_attn.k_layernorm.norms.{e}",
        }
        return replace(NAMES, modules={**MODULES, **norms})


ARCHITECTURE = StableLmFamily()
