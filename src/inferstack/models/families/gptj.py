"""GPT-J: one norm for attention and feed-forward, neighbouring elements turn together.

Source: Wang and Komatsuzaki 2021, GPT-J-6B; transformers, models/gptj.
"""

from __future__ import annotations

from inferstack.core.errors import CheckpointError
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    FeedForward,
    Head,
    Layer,
)
from inferstack.models.family import Family
from inferstack.models.names import Names, Part
from inferstack.models.reading import activation, decoder, head_sizes, layernorm
from inferstack.models.rotary import Rotary


class GptJFamily(Family):
    """See the module."""

    model_types = frozenset({"gptj"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        hidden, heads, _, width = head_sizes(file, "n_embd", "n_head")
        turned = file.whole_or("rotary_dim", width, 2**13)
        if turned % 2 or turned > width:
            raise CheckpointError(
                file.where, "rotary_dim makes no sense", got=turned,
                need=f"an even part of the {width} elements of a head",
            )  # fmt: skip
        norm = layernorm(file, "layer_norm_epsilon")
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=heads,
                width=width,
                rotary=Rotary(width=turned, theta=10000.0, interleaved=True),
            ),
            feed_forward=FeedForward(
                inner=file.whole_or("n_inner", 4 * hidden, 2**20),
                activation=activation(file, "activation_function", absent="gelu_tanh"),
                bias=True,
            ),
            norm=norm,
            arrangement=Arrangement.PARALLEL,
        )
        layers = (layer,) * file.whole("n_layer", 2**10)
        head = Head(tied=file.flag("tie_word_embeddings", False), bias=True)
        longest = file.whole("n_positions", 2**22)
        return decoder(file, hidden, layers, norm, head, longest=longest)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return Names(
            prefixes=("", "transformer."),
            layer="h.{n}",
            modules={
                **self.projections(),
                "output": "attn.out_proj",
                "intermediate": "mlp.fc_in",
                "ffn_output": "mlp.fc_out",
                "attention_norm": "ln_1",
            },
            tables={"embedding.word": "wte.weight"},
            others={"final_norm": "ln_f", "head": "lm_head"},
            parts=self.parts(description.layers[0].attention),
        )

    def projections(self) -> dict[str, str]:
        """The modules of query, key and value."""
        return {"query": "attn.q_proj", "key": "attn.k_proj", "value": "attn.v_proj"}

    def parts(self, of: Attention) -> dict[str, Part]:
        """Of tensors that they share."""
        return {}


ARCHITECTURE = GptJFamily()
