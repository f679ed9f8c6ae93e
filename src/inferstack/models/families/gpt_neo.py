"""GPT-Neo: GPT-2's layers, every other with a window, and scores without a scale.

Source: Black et al. 2021, GPT-Neo; transformers, models/gpt_neo.
"""

from __future__ import annotations

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Attention,
    Description,
    Embedding,
    FeedForward,
    Head,
    Layer,
    PositionTable,
)
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import activation, decoder, head_sizes, layernorm


class GptNeoFamily(Family):
    """See the module."""

    model_types = frozenset({"gpt_neo"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, _, width = head_sizes(file, heads_key="num_heads")
        norm = layernorm(file, "layer_norm_epsilon")
        window = file.whole_or("window_size", 256, 2**22)
        layers = tuple(
            Layer(
                attention=Attention(
                    heads=heads,
                    kv_heads=heads,
                    width=width,
                    output_bias=True,
                    scale=1.0,
                    window=window if kind == "local" else None,
                ),
                feed_forward=FeedForward(
                    inner=file.whole_or("intermediate_size", 4 * hidden, 2**20),
                    activation=activation(file, "activation_function", absent="gelu_tanh"),
                    bias=True,
                ),
                norm=norm,
            )
            for kind in _kinds(file, file.whole("num_layers", 2**10))
        )
        positions = file.whole("max_position_embeddings", 2**22)
        return decoder(
            file,
            hidden,
            layers,
            norm,
            Head(tied=file.flag("tie_word_embeddings", True)),
            embedding=Embedding(positions=PositionTable(rows=positions)),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return Names(
            prefixes=("", "transformer."),
            layer="h.{n}",
            modules={
                "query": "attn.attention.q_proj",
                "key": "attn.attention.k_proj",
                "value": "attn.attention.v_proj",
                "output": "attn.attention.out_proj",
                "intermediate": "mlp.c_fc",
                "ffn_output": "mlp.c_proj",
                "attention_norm": "ln_1",
                "ffn_norm": "ln_2",
            },
            tables={"embedding.word": "wte.weight", "embedding.position": "wpe.weight"},
            others={"final_norm": "ln_f", "head": "lm_head"},
        )


def _kinds(file: ConfigFile, depth: int) -> list[str]:
    """global or local by layer: attention_types is [[[kind, ...], how often], ...]."""
    said = file.optional("attention_types", None)
    repeated = [[["global", "local"], 12]] if said is None else said
    kinds: list[str] = []
    for one in repeated if isinstance(repeated, list) else []:
        match one:
            case [list(some), int(times)] if times <= depth:
                kinds += some * times
    if len(kinds) != depth or any(kind not in ("global", "local") for kind in kinds):
        raise CheckpointError(
            file.where, "attention_types makes no sense", got=printable(str(said)),
            need=f"global or local for each of {depth} layers",
        )  # fmt: skip
    return kinds


ARCHITECTURE = GptNeoFamily()
