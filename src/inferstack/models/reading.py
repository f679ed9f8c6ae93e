"""What many families say alike in config.json: heads, activations, windows, rotary positions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Description, Embedding, Head, Layer, Norm
from inferstack.models.rotary import Rotary

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "gelu_quick",
    "relu": "relu",
    "relu2": "relu2",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}
LONGEST_SEQUENCE = 2**26
FIRST_SLIDING = "max_window_layers"
ROPE_KEYS = ("rope_parameters", "rope_scaling")


def activation(file: ConfigFile, *keys: str, absent: str | None = None) -> str:
    """The activation under the first of these keys that is there."""
    for key in keys:
        if file.optional(key, None) is not None:
            return file.choice(key, ACTIVATIONS)
    if absent is None:
        # Neither: what is wrong, missing or null, its own reader says.
        return file.choice(next((key for key in keys if key in file.content), keys[0]), ACTIVATIONS)
    return absent


def head_sizes(
    file: ConfigFile,
    hidden_key: str = "hidden_size",
    heads_key: str = "num_attention_heads",
    kv_key: str = "num_key_value_heads",
) -> tuple[int, int, int, int]:
    """(hidden size, heads, heads of keys and values, width of a head)."""
    hidden, heads = file.whole(hidden_key, 2**17), file.whole(heads_key, 2**12)
    if file.optional("head_dim", None) is not None:
        width = file.whole("head_dim", 2**13)
    else:
        file.multiple(hidden_key, hidden, heads_key, heads)
        width = hidden // heads
    kv_heads = file.whole_or(kv_key, heads, heads)
    file.multiple(heads_key, heads, kv_key, kv_heads)
    return hidden, heads, kv_heads, width


def projection_width(file: ConfigFile) -> int | None:
    """projection_dim, where `architectures` names a model that has the projection."""
    named = file.optional("architectures", None)
    has_it = isinstance(named, list) and any(str(one).endswith("WithProjection") for one in named)
    return file.whole_or("projection_dim", 512, 2**16) if has_it else None


def longest(file: ConfigFile) -> int:
    """Tokens that a model with rotary positions was trained for: max_position_embeddings, or what
    the first Llama's config calls it; 2,048 without either, transformers' default."""
    key = "max_position_embeddings"
    if not file.has(key) and file.has("max_sequence_length"):
        key = "max_sequence_length"
    return file.whole_or(key, 2048, LONGEST_SEQUENCE)


def layernorm(file: ConfigFile, key: str = "layer_norm_eps", *, bias: bool = True) -> Norm:
    """The layernorm of that epsilon, 1e-5 by default."""
    return Norm(kind="layernorm", epsilon=file.number_or(key, 1e-5, 1e-20, 1.0), bias=bias)


def rmsnorm(file: ConfigFile, absent: float, *, offset: float = 0.0) -> Norm:
    """The rmsnorm of rms_norm_eps, `absent` by default."""
    epsilon = file.number_or("rms_norm_eps", absent, 1e-20, 1.0)
    return Norm(kind="rmsnorm", epsilon=epsilon, offset=offset)


def decoder(
    file: ConfigFile,
    hidden: int,
    layers: tuple[Layer, ...],
    final_norm: Norm | None,
    head: Head,
    *,
    longest: int | None = None,
    embedding: Embedding | None = None,
) -> Description:
    """A causal stack; longest is max_position_embeddings by default."""
    return Description(
        vocabulary=file.whole("vocab_size", 2**24),
        hidden=hidden,
        layers=layers,
        longest=longest or file.whole("max_position_embeddings", 2**24),
        causal=True,
        embedding=embedding or Embedding(),
        final_norm=final_norm,
        head=head,
    )


def windows(
    file: ConfigFile, depth: int, *, size: int | None = None, every: int | None = None
) -> list[int | None]:
    """By layer, how many keys a query sees at most: layer_types, or sliding_window for all.

    size: where sliding_window is not there. every: without layer_types, one layer of so many sees
    all, the last.

    Qwen2's and SmolLM3's window counts only where use_sliding_window says so, from
    max_window_layers on.
    """
    if "sliding_window" in file.content or size is None:
        size = file.whole_or("sliding_window", 0, LONGEST_SEQUENCE, least=0) or None
    kinds = file.optional("layer_types", None)
    if kinds is not None:
        known = {"full_attention": None, "sliding_attention": size}
        if (
            not isinstance(kinds, list)
            or len(kinds) != depth
            or not all(isinstance(kind, str) and kind in known for kind in kinds)
        ):
            raise CheckpointError(
                file.where, "layer_types makes no sense", got=printable(str(kinds)),
                need=f"full_attention or sliding_attention for each of {depth} layers",
            )  # fmt: skip
        if size is None and "sliding_attention" in kinds:
            raise CheckpointError(file.where, "layer_types slides, and sliding_window is not set")
        return [known[kind] for kind in kinds]
    if every is not None:
        return [None if (number + 1) % every == 0 else size for number in range(depth)]
    if any(file.has(key) or key in file.content for key in ("use_sliding_window", FIRST_SLIDING)):
        if not file.flag("use_sliding_window", False):
            return [None] * depth
        first = file.whole_or(FIRST_SLIDING, 28, 2**10, least=0)
        return [size if number >= first else None for number in range(depth)]
    return [size] * depth


def rope_of(file: ConfigFile) -> ConfigFile:
    """What config.json says of rotary positions: rope_parameters, or rope_scaling; or nothing."""
    for key in ROPE_KEYS:
        said = file.optional(key, None)
        if said is not None:
            where = f"{file.where}, {key}"
            if not isinstance(said, dict):
                raise CheckpointError(where, "is not a JSON object")
            return ConfigFile(where, said)
    return ConfigFile(file.where, {})


def read_rotary(
    file: ConfigFile,
    width: int,
    *,
    theta: float = 10000.0,
    part: float = 1.0,
    interleaved: bool = False,
) -> Rotary:
    """rope_theta and rope_scaling, or rope_parameters, of config.json. Raises CheckpointError.

    theta, and part of the head that turns (partial_rotary_factor): where it says none.
    """
    own = rope_of(file)
    base = own if own.has("rope_theta") else file
    if base.has("rope_theta"):
        theta = base.number("rope_theta", 1.0, 1e15)
    source = own if own.has("partial_rotary_factor") else file
    if source.has("partial_rotary_factor"):
        part = source.number("partial_rotary_factor", 0.0, 1.0)
    width = int(width * part)
    plain = Rotary(width=width, theta=theta, interleaved=interleaved)
    if width % 2 or width == 0:
        raise CheckpointError(file.where, "rotary positions turn pairs", got=f"{width} elements")
    kind = str(own.optional("rope_type", own.optional("type", "default")))
    if kind in ("default", "mrope") or not own.content:
        return plain
    if kind not in _SCALINGS:
        raise CheckpointError(
            own.where, "this rope_type is not known", got=printable(kind),
            need=f"one of default, {', '.join(_SCALINGS)}",
        )  # fmt: skip
    longest = file.whole_or("max_position_embeddings", 2048, LONGEST_SEQUENCE)
    original = file.whole_or("original_max_position_embeddings", longest, LONGEST_SEQUENCE)
    original = own.whole_or("original_max_position_embeddings", original, LONGEST_SEQUENCE)
    factor = longest / original
    if own.has("factor"):
        factor = own.number("factor", 1e-3, 1e6)
    if kind == "yarn" and theta <= 1:
        raise CheckpointError(
            base.where, "rope_theta makes no sense", got=theta, need="more than 1 for yarn"
        )
    if kind == "longrope" and original < 2:
        key = "original_max_position_embeddings"
        raise CheckpointError(own.where, f"{key} makes no sense", got=original, need="at least 2")
    if kind == "dynamic" and width == 2:
        raise CheckpointError(own.where, "dynamic needs more than one pair that turns")
    said = _SCALINGS[kind](own, width)
    if own.has("attention_factor"):
        said = {**said, "gain": own.number("attention_factor", 0.0, 1e3)}
    return Rotary(
        width=width,
        theta=theta,
        interleaved=interleaved,
        scaling=kind,
        factor=factor,
        original=original,
        **said,
    )


def read_rotary_by_window(
    file: ConfigFile, width: int, *, theta: float = 10000.0, near_theta: float | None = None
) -> tuple[Rotary, Rotary]:
    """Those of layers that see all keys, and of layers with a window, which nothing stretches.

    rope_parameters may say them by the kind of layer. near_theta: of the second, where it does not;
    the first one's by default.
    """
    said = rope_of(file)
    if said.has("full_attention") or said.has("sliding_attention"):
        plain = {key: value for key, value in file.content.items() if key not in ROPE_KEYS}
        kinds = [said.optional(f"{kind}_attention", None) or {} for kind in ("full", "sliding")]
        rope = [ConfigFile(file.where, {**plain, "rope_parameters": kind}) for kind in kinds]
        absent = theta if near_theta is None else near_theta
        return read_rotary(rope[0], width, theta=theta), read_rotary(rope[1], width, theta=absent)
    wide = read_rotary(file, width, theta=theta)
    near = wide.theta if near_theta is None else near_theta
    return wide, Rotary(width=wide.width, theta=near)


def _nothing(own: ConfigFile, width: int) -> Mapping[str, Any]:
    return {}


def _llama3(own: ConfigFile, width: int) -> Mapping[str, Any]:
    low, high = (own.number(f"{end}_freq_factor", 1e-3, 1e6) for end in ("low", "high"))
    if high <= low:
        raise CheckpointError(
            own.where, "high_freq_factor makes no sense", got=high,
            need=f"more than low_freq_factor, {low:g}",
        )  # fmt: skip
    return {"low": low, "high": high}


def _yarn(own: ConfigFile, width: int) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for key, name, absent in (("low", "beta_slow", 1.0), ("high", "beta_fast", 32.0)):
        found[key] = own.number_or(name, absent, 1e-3, 1e6)
    if not own.flag("truncate", True):
        found["truncate"] = False
    gain = mscale(own, "mscale") / mscale(own, "mscale_all_dim")
    if own.has("mscale") and own.has("mscale_all_dim") and not own.has("attention_factor"):
        found["gain"] = gain
    return found


def mscale(own: ConfigFile, key: str) -> float:
    """DeepSeek's factor of scores and of cosines for stretched positions: 0.1 m ln(factor) + 1."""
    factor = own.number("factor", 1e-3, 1e6) if own.has("factor") else 1.0
    share = own.number(key, 0.0, 1e3) if own.has(key) else 0.0
    return 0.1 * share * math.log(factor) + 1 if factor > 1 else 1.0


def _longrope(own: ConfigFile, width: int) -> Mapping[str, Any]:
    return {
        "short": own.numbers("short_factor", width // 2, least=1e-6),
        "long": own.numbers("long_factor", width // 2, least=1e-6),
    }


_SCALINGS: Mapping[str, Callable[[ConfigFile, int], Mapping[str, Any]]] = {
    "linear": _nothing,
    "dynamic": _nothing,
    "yarn": _yarn,
    "longrope": _longrope,
    "llama3": _llama3,
}
