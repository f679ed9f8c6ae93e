"""Llama and its twins: RMSNorm, rotary positions, grouped-query attention, gated SiLU.

Source: Touvron et al. 2023, arXiv:2302.13971 and arXiv:2307.09288; Grattafiori et al. 2024,
arXiv:2407.21783; Jiang et al. 2023, arXiv:2310.06825 (Mistral); Yang et al. 2024, arXiv:2407.10671
(Qwen2); Bakouch et al. 2025 (SmolLM3); where they leave room, transformers, models/llama, mistral,
ministral, qwen2, qwen3, smollm3, arcee, seed_oss, ernie4_5.
"""

from __future__ import annotations

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Attention,
    Description,
    Embedding,
    FeedForward,
    Head,
    Layer,
    Norm,
)
from inferstack.models.family import Family
from inferstack.models.names import Names
from inferstack.models.reading import activation, head_sizes, longest, read_rotary, windows

MODULES = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.o_proj",
    "query_norm": "self_attn.q_norm",
    "key_norm": "self_attn.k_norm",
    "gate": "mlp.gate_proj",
    "intermediate": "mlp.up_proj",
    "ffn_output": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
NAMES = Names(
    prefixes=("", "model."),
    layer="layers.{n}",
    modules=MODULES,
    tables={"embedding.word": "embed_tokens.weight"},
    others={"final_norm": "norm", "head": "lm_head"},
)


class LlamaFamily(Family):
    """See the module."""

    model_types = frozenset(
        {
            "arcee", "ernie4_5", "llama", "ministral", "mistral", "qwen2", "qwen3", "seed_oss",
            "smollm3",
        }
    )  # fmt: skip

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        kind = file.text("model_type")
        hidden, heads, kv_heads, width = head_sizes(file)
        norm = Norm(kind="rmsnorm", epsilon=file.number("rms_norm_eps", 1e-20, 1.0))
        depth = file.whole("num_hidden_layers", 2**10)
        bias, output_bias, wide_bias = _biases(file, kind)
        turned = _turned(file, depth) if kind == "smollm3" else [True] * depth
        rotary = read_rotary(file, width, interleaved=kind == "ernie4_5")
        layers = tuple(
            Layer(
                attention=Attention(
                    heads=heads,
                    kv_heads=kv_heads,
                    width=width,
                    bias=bias,
                    output_bias=output_bias,
                    rotary=rotary if turns else None,
                    window=window,
                    head_norm=norm if kind == "qwen3" else None,
                ),
                feed_forward=FeedForward(
                    inner=file.whole("intermediate_size", 2**20),
                    activation=activation(file, "hidden_act"),
                    gated=kind != "arcee",
                    bias=wide_bias,
                ),
                norm=norm,
            )
            for window, turns in zip(windows(file, depth), turned, strict=True)
        )
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=layers,
            longest=longest(file),
            causal=True,
            embedding=Embedding(),
            final_norm=norm,
            head=Head(tied=file.flag("tie_word_embeddings", False)),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return NAMES


def _biases(file: ConfigFile, kind: str) -> tuple[bool, bool, bool]:
    """Of query, key and value; of what attention makes; of the feed-forward."""
    if kind == "ernie4_5":
        return (file.flag("use_bias", False),) * 3
    asked = kind == "qwen2" or file.flag("attention_bias", kind == "seed_oss")
    output = file.flag("attention_out_bias", False) if kind == "seed_oss" else asked
    return asked, output and kind != "qwen2", file.flag("mlp_bias", False)


def _turned(file: ConfigFile, depth: int) -> list[bool]:
    """SmolLM3: which layers turn queries and keys; every fourth does not."""
    said = file.optional("no_rope_layers", None)
    if said is None:
        every = file.whole_or("no_rope_layer_interval", 4, 2**10)
        return [(number + 1) % every != 0 for number in range(depth)]
    return [one == 1 for one in file.numbers("no_rope_layers", depth)]


ARCHITECTURE = LlamaFamily()
