"""Nomic's BERT: rotary positions, a SiLU gate, and no biases outside of the norms.

config.json has the keys of nomic's own code or those of transformers; the weights have its names.
Source: Nussbaum et al. 2024, arXiv:2402.01613; nomic-ai/nomic-bert-2048, modeling_hf_nomic_bert.py;
transformers, models/nomic_bert.
"""

from __future__ import annotations

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import (
    Arrangement,
    Attention,
    Description,
    Embedding,
    FeedForward,
    Layer,
    Norm,
)
from inferstack.models.families.bert import TABLES
from inferstack.models.family import ENCODER, Family
from inferstack.models.names import Names, qkv
from inferstack.models.reading import activation, read_rotary

THEIRS = {
    "n_embd": "hidden_size",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "n_layer": "num_hidden_layers",
    "n_positions": "max_position_embeddings",
    "layer_norm_epsilon": "layer_norm_eps",
    "rotary_emb_base": "rope_theta",
    "rotary_emb_fraction": "partial_rotary_factor",
}
"""The keys of nomic's own code in the words of transformers."""
SWITCHES: dict[str, str | bool | int | None] = {
    "activation_function": "swiglu",
    "causal": False,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "moe_every_n_layers": -1,
    "parallel_block": False,
    "prenorm": False,
    "qkv_proj_bias": False,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "scale_attn_weights": True,
    "use_rms_norm": False,
}
"""Of nomic's own keys, the values that its text encoders have."""


class NomicBertFamily(Family):
    """See the module."""

    model_types = frozenset({"nomic_bert"})
    phases = ENCODER

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        for key, value in SWITCHES.items():
            file.only(key, value)
        if "n_embd" in file.content:
            known = {THEIRS.get(key, key): value for key, value in file.content.items()}
            file = ConfigFile(file.where, known)
        hidden, heads = file.whole("hidden_size", 2**16), file.whole("num_attention_heads", 2**12)
        file.multiple("hidden_size", hidden, "num_attention_heads", heads)
        width = file.whole_or("head_dim", hidden // heads, 2**13)
        norm = Norm(kind="layernorm", epsilon=file.number_or("layer_norm_eps", 1e-12, 1e-20, 1.0))
        layer = Layer(
            attention=Attention(
                heads=heads,
                kv_heads=heads,
                width=width,
                rotary=read_rotary(file, width, theta=1000.0),
            ),
            feed_forward=FeedForward(
                inner=file.whole("intermediate_size", 2**20),
                activation=activation(file, "hidden_act", absent="silu"),
                gated=True,
            ),
            norm=norm,
            arrangement=Arrangement.POST,
        )
        return Description(
            vocabulary=file.whole("vocab_size", 2**24),
            hidden=hidden,
            layers=(layer,) * file.whole("num_hidden_layers", 2**10),
            longest=file.whole_or("max_position_embeddings", 2048, 2**24),
            causal=False,
            embedding=Embedding(
                token_types=file.whole_or("type_vocab_size", 2, 2**10, least=0), norm=norm
            ),
        )

    def names(self, description: Description) -> Names:
        """See `Family`."""
        of = description.layers[0].attention
        return Names(
            prefixes=("", "nomic_bert.", "bert."),
            layer="encoder.layers.{n}",
            modules={
                "query": "attn.Wqkv",
                "key": "attn.Wqkv",
                "value": "attn.Wqkv",
                "output": "attn.out_proj",
                "gate": "mlp.fc12",
                "intermediate": "mlp.fc11",
                "ffn_output": "mlp.fc2",
                "attention_norm": "norm1",
                "ffn_norm": "norm2",
            },
            tables=TABLES,
            others={"embedding.norm": "emb_ln"},
            parts=qkv(of.heads, of.kv_heads, of.width),
        )


ARCHITECTURE = NomicBertFamily()
