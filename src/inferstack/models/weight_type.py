"""The type that a checkpoint's config.json gives to its weights, quantized ones included.

Source: transformers, utils/quantization_config.py, for the keys and their defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inferstack.core.dtypes import DType
from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile
from inferstack.models.quantized import method_in
from inferstack.models.stored_sizes import Stored

FLOATS = {
    kind.value: kind for kind in (DType.FLOAT64, DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightType:
    """What a checkpoint says. element: None where it says nothing, of all that `stored` does not
    know. source: where it says it."""

    element: DType | None
    stored: Stored | None
    source: str


def read_weight_type(where: str, content: Mapping[str, object]) -> WeightType:
    """The type of a folder's weights. Raises CheckpointError for one that is not counted."""
    whole = ConfigFile(where, content)
    said = {key: content[key] for key in ("dtype", "torch_dtype") if whole.has(key)}
    kinds = {key: _element(where, key, value) for key, value in said.items()}
    if len(set(kinds.values())) > 1:
        got = ", ".join(f"{key} {value}" for key, value in said.items())
        raise CheckpointError(where, "names two types for its weights", got=got)
    element = next(iter(kinds.values()), None)
    source = f"{next(iter(kinds))} of config.json" if element else "config.json names none"
    found = method_in(where, content)
    if found is None:
        return WeightType(element=element, stored=None, source=source)
    method, config = found
    quantized = method.counted(config)
    return WeightType(
        element=element or DType.FLOAT16,
        stored=quantized,
        source=f"quantization_config of config.json ({quantized.method}, {quantized.bits} bits), "
        f"the rest {source if element else 'float16 by default'}",
    )


def _element(where: str, key: str, value: object) -> DType | None:
    name = value.removeprefix("torch.") if isinstance(value, str) else str(value)
    if name == "auto":
        return None
    if name not in FLOATS:
        need = f"one of {', '.join(FLOATS)}"
        raise CheckpointError(where, f"{key} is not known", got=printable(name), need=need)
    return FLOATS[name]
