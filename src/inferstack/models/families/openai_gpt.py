"""The first GPT: norms behind the residuals, learned positions, tied embeddings.

Source: Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training"; where
the paper leaves room, transformers, models/openai.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Arrangement, Description
from inferstack.models.families.gpt2 import Gpt2Family
from inferstack.models.names import Names

ACTIVATIONS = {"gelu": "gelu_new", "relu": "relu", "silu": "silu", "swish": "silu"}
"""What it calls gelu is the tanh form."""


class OpenAiGptFamily(Gpt2Family):
    """See the module."""

    model_types = frozenset({"openai-gpt"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        active = file.choice("afn", ACTIVATIONS)
        plain = super().describe(
            ConfigFile(file.where, {**file.content, "activation_function": active})
        )
        layer = replace(plain.layers[0], arrangement=Arrangement.POST)
        return replace(plain, layers=(layer,) * plain.depth, final_norm=None)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        tables = {
            "embedding.word": "tokens_embed.weight",
            "embedding.position": "positions_embed.weight",
        }
        return replace(super().names(description), tables=tables)


ARCHITECTURE = OpenAiGptFamily()
