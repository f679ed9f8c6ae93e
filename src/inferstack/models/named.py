"""Models by the name under which people know them: `library/models.json`.

Each entry has a config as in config.json (what the graph depends on), the number of parameters as
published, and a source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LIBRARY = Path(__file__).parent / "library" / "models.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """One entry. parameters: as its authors count them; None where they give no exact number."""

    name: str
    config: Mapping[str, Any]
    parameters: int | None
    source: str


@cache
def named_models() -> tuple[NamedModel, ...]:
    """All of them, in the order of the file."""
    content = json.loads(LIBRARY.read_text(encoding="utf-8"))
    return tuple(
        NamedModel(
            name=name,
            config=entry["config"],
            parameters=entry.get("parameters"),
            source=entry["source"],
        )
        for name, entry in content.items()
    )


def configs_of(model_types: frozenset[str]) -> dict[str, Mapping[str, Any]]:
    """The configs of these types by name."""
    return {
        model.name: model.config
        for model in named_models()
        if model.config["model_type"] in model_types
    }
