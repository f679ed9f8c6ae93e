"""The metadata of a GGUF file as the config.json of the same model, and its names of tensors.

Every key of the file's own architecture must be known: one that is not could change the result.
Source: ggml, docs/gguf.md; llama.cpp, src/llama-model.cpp and src/llama-arch.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import one_slip, printable
from inferstack.models.config_file import ConfigFile
from inferstack.models.gguf_file import GgufFile
from inferstack.models.names import Names

MODULES = {
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "output": "attn_output",
    "query_norm": "attn_q_norm",
    "key_norm": "attn_k_norm",
    "gate": "ffn_gate",
    "intermediate": "ffn_up",
    "ffn_output": "ffn_down",
    "attention_norm": "attn_norm",
    "attention_out_norm": "post_attention_norm",
    "ffn_norm": "ffn_norm",
    "ffn_out_norm": "post_ffw_norm",
}
FUSED = {
    **dict.fromkeys(("query", "key", "value"), "attn_qkv"),
    **dict.fromkeys(("gate", "intermediate"), "ffn_up"),
}
"""Modules of a family whose own names say that one tensor holds several."""
SIZES = frozenset(
    {"block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size",
     "attention.head_count", "attention.head_count_kv", "attention.layer_norm_rms_epsilon",
     "attention.key_length", "attention.value_length", "rope.dimension_count", "rope.freq_base",
     "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length",
     "rope.scaling.finetuned", "expert_count", "expert_used_count", "attention.sliding_window"}
)  # fmt: skip
"""Keys, behind the name of the architecture, that all families may have."""
LONG, SHORT, FACTORS = "rope_factors_long.weight", "rope_factors_short.weight", "rope_freqs.weight"
ENDLESS = 2**31 - 1
GEMMA = {"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh"}


class Metadata:
    """What a file says of its architecture. Every method raises CheckpointError."""

    def __init__(self, file: GgufFile) -> None:
        self.file, self.where = file, str(file.path)
        self.own = ConfigFile(self.where, file.metadata)
        self.architecture = self.own.text("general.architecture")
        if self.architecture not in ARCHITECTURES:
            need = f"one of {', '.join(ARCHITECTURES)}"
            got = printable(self.architecture)
            raise CheckpointError(
                self.where, "this general.architecture is not read", got=got, need=need
            )
        known = SIZES | ARCHITECTURES[self.architecture][1]
        for key in file.metadata:
            begin, _, rest = key.partition(".")
            if begin == self.architecture:
                if rest not in known:
                    raise CheckpointError(
                        self.where, "has a key that is not known", got=printable(key),
                        hint="it could change the result",
                    )  # fmt: skip
                continue
            own = (f"{self.architecture}.{name}" for name in sorted(known))
            near = next((name for name in own if one_slip(key, name)), None)
            if near is not None or one_slip(begin, self.architecture):
                raise misspelt_key(self.where, key, near or f"{self.architecture}.{rest}")
        if self.has("expert_count") and self.whole("expert_count", 2**16, least=0):
            raise CheckpointError(self.where, "mixtures of experts are not read from GGUF files")

    def has(self, key: str) -> bool:
        """Whether the architecture's key is there."""
        return f"{self.architecture}.{key}" in self.file.metadata

    def whole(self, key: str, most: int, *, least: int = 1) -> int:
        """A whole number."""
        return self.own.whole(f"{self.architecture}.{key}", most, least=least)

    def number(self, key: str, least: float, most: float) -> float:
        """A number."""
        return self.own.number(f"{self.architecture}.{key}", least, most)

    def tensor(self, name: str) -> list[float] | None:
        """The values of a small tensor; None without it."""
        if name not in self.file.tensors:
            return None
        if (size := self.file.tensors[name].size_bytes) > 2**20:
            raise CheckpointError(self.where, f"{name} is too large", got=f"{size:,} bytes")
        return [float(one) for one in self.file.float32(name).reshape(-1)]


def misspelt_key(where: str, key: str, need: str) -> CheckpointError:
    """A key that is almost one that is read."""
    return CheckpointError(
        where, f"has the unknown key '{printable(key)}'", need=f"'{printable(need)}', or neither",
        hint="a misspelt key would be ignored",
    )  # fmt: skip


def gguf_config(file: GgufFile) -> dict[str, Any]:
    """The config.json of the model in the file. Raises CheckpointError."""
    data = Metadata(file)
    words = file.tensors.get("token_embd.weight")
    if words is None or len(words.shape) != 2:
        raise CheckpointError(data.where, "lacks the tensor 'token_embd.weight' of two axes")
    heads = data.whole("attention.head_count", 2**12)
    hidden = data.whole("embedding_length", 2**17)
    width = data.whole("attention.key_length", 2**13) if data.has("attention.key_length") else None
    if data.has("attention.value_length"):
        value = data.whole("attention.value_length", 2**13)
        if value != (need := width or hidden // heads):
            raise CheckpointError(
                data.where, "keys and values have other widths", got=value, need=need
            )
    found: dict[str, Any] = {
        "hidden_size": hidden,
        "num_hidden_layers": data.whole("block_count", 2**10),
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "intermediate_size": data.whole("feed_forward_length", 2**20),
        "vocab_size": words.shape[0],
        "max_position_embeddings": data.whole("context_length", 2**24),
        "rms_norm_eps": data.number("attention.layer_norm_rms_epsilon", 1e-20, 1.0),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "hidden_act": "silu",
    }
    if data.has("attention.head_count_kv"):
        found["num_key_value_heads"] = data.whole("attention.head_count_kv", heads)
    if width is not None:
        found["head_dim"] = width
    if data.has("rope.freq_base"):
        found["rope_theta"] = data.number("rope.freq_base", 1.0, 1e15)
    turned = width or hidden // heads
    if data.has("rope.dimension_count") and turned:
        part = data.whole("rope.dimension_count", turned)
        if part != turned:
            found["partial_rotary_factor"] = part / turned
    scaling = _scaling(data)
    if scaling is not None:
        found["rope_scaling"] = scaling
    return {**found, **ARCHITECTURES[data.architecture][0](data, found)}


def _scaling(data: Metadata) -> dict[str, Any] | None:
    """How positions are stretched: by one factor, or by one for each pair."""
    same, longer, shorter = (data.tensor(name) for name in (FACTORS, LONG, SHORT))
    if (longer is None) != (shorter is None):
        raise CheckpointError(data.where, f"has one of {LONG} and {SHORT}", need="both or none")
    type_key, gain_key = f"{data.architecture}.rope.scaling.type", "rope.scaling.attn_factor"
    stretched = data.has("rope.scaling.factor")
    # What llama.cpp takes where the file names none.
    kind = "linear" if stretched else "none"
    if type_key in data.file.metadata:
        kind = data.own.text(type_key)
    gain = data.number(gain_key, 1e-3, 1e3) if data.has(gain_key) else 1.0
    if same is not None or longer is not None:
        alone = kind == "none" or (kind == "longrope" and longer is not None and not stretched)
        if not alone or (same is not None and longer is not None):
            raise CheckpointError(
                data.where, "stretches positions twice",
                got=", ".join([n for n in (FACTORS, LONG) if n in data.file.tensors] + [kind]),
                need=f"one of {FACTORS}, {LONG} with {SHORT}, and rope.scaling.type",
            )  # fmt: skip
        longer, shorter = longer or same, shorter or same
        said = {"rope_type": "longrope", "short_factor": shorter, "long_factor": longer}
        return {**said, "attention_factor": gain, **_original(data)}
    if gain != 1.0:
        raise CheckpointError(data.where, f"has {gain_key} without {LONG}", got=gain)
    if kind == "none":
        return None
    if kind not in ("linear", "yarn"):
        raise CheckpointError(data.where, f"{type_key} is not read", got=printable(kind))
    factor = data.number("rope.scaling.factor", 1e-3, 1e6)
    return {"rope_type": kind, "factor": factor, **_original(data)}


def _original(data: Metadata) -> dict[str, Any]:
    key = "rope.scaling.original_context_length"
    if not data.has(key):
        return {}
    return {"original_max_position_embeddings": data.whole(key, 2**24)}


def _llama(data: Metadata, found: Mapping[str, Any]) -> dict[str, Any]:
    more: dict[str, Any] = {"model_type": "llama"}
    if "partial_rotary_factor" in found:
        raise CheckpointError(data.where, "heads of which a part turns are not read for llama")
    for key, tensor in (("attention_bias", "attn_q"), ("mlp_bias", "ffn_up")):
        if f"blk.0.{tensor}.bias" in data.file.tensors:
            more[key] = True
    if data.has("attention.sliding_window"):
        more |= {"model_type": "mistral", **_window(data)}
    return more


def _qwen2(data: Metadata, found: Mapping[str, Any]) -> dict[str, Any]:
    _no_window(data)
    return {"model_type": "qwen2"}


def _qwen3(data: Metadata, found: Mapping[str, Any]) -> dict[str, Any]:
    _no_window(data)
    return {"model_type": "qwen3"}


def _phi3(data: Metadata, found: Mapping[str, Any]) -> dict[str, Any]:
    return {"model_type": "phi3", **_window(data)}


def _gemma(data: Metadata, found: Mapping[str, Any]) -> dict[str, Any]:
    _no_window(data)
    return {"model_type": "gemma", **GEMMA}


def _gemma2(data: Metadata, found: Mapping[str, Any]) -> dict[str, Any]:
    more = {
        "model_type": "gemma2",
        **GEMMA,
        "attn_logit_softcapping": data.number("attn_logit_softcapping", 1e-3, 1e6),
        "final_logit_softcapping": data.number("final_logit_softcapping", 1e-3, 1e6),
        **_query_scale(found, largest_depth=46),
    }
    if data.has("attention.sliding_window"):
        more["sliding_window"] = data.whole("attention.sliding_window", 2**26)
    return more


def _gemma3(data: Metadata, found: Mapping[str, Any]) -> dict[str, Any]:
    near = "rope.freq_base_swa"
    return {
        "rope_local_base_freq": data.number(near, 1.0, 1e15) if data.has(near) else 1e4,
        "model_type": "gemma3_text",
        **GEMMA,
        "sliding_window": data.whole("attention.sliding_window", 2**26),
        "rope_theta": found.get("rope_theta", 1e6),
        **_query_scale(found, largest_depth=62),
    }


def _query_scale(found: Mapping[str, Any], largest_depth: int) -> dict[str, Any]:
    """The largest model scales queries by another width than that of its heads."""
    hidden, heads = found["hidden_size"], found["num_attention_heads"]
    largest = found["num_hidden_layers"] == largest_depth
    width = found.get("head_dim", hidden / heads)
    return {"query_pre_attn_scalar": hidden / heads if largest else width}


def _window(data: Metadata) -> dict[str, Any]:
    """A window that ends nowhere is none."""
    key = "attention.sliding_window"
    size = data.whole(key, ENDLESS, least=0) if data.has(key) else 0
    return {"sliding_window": size if 0 < size < 2**26 else None}


def _no_window(data: Metadata) -> None:
    if data.has("attention.sliding_window"):
        raise CheckpointError(
            data.where, "a window is not read for this architecture", got=data.architecture
        )


ARCHITECTURES: Mapping[
    str, tuple[Callable[[Metadata, Mapping[str, Any]], dict[str, Any]], frozenset[str]]
] = {
    "llama": (_llama, frozenset()),
    "qwen2": (_qwen2, frozenset()),
    "qwen3": (_qwen3, frozenset()),
    "phi3": (_phi3, frozenset({"rope.scaling.attn_factor"})),
    "gemma": (_gemma, frozenset()),
    "gemma2": (_gemma2, frozenset({"attn_logit_softcapping", "final_logit_softcapping"})),
    "gemma3": (_gemma3, frozenset({"rope.freq_base_swa"})),
}
"""By general.architecture: what it adds to config.json, and the keys that only it has."""


def gguf_names(names: Names) -> Names:
    """What the file calls the weights. names: what a folder of the family calls them."""
    fused = {part: module for part, module in FUSED.items() if part in names.parts}
    return replace(
        names,
        prefixes=("",),
        layer="blk.{n}",
        modules={**MODULES, **fused},
        tables={"embedding.word": "token_embd.weight"},
        others={"final_norm": "output_norm", "head": "output"},
        # Where a family stores gains less something, the file has them whole.
        offset=0.0,
    )
