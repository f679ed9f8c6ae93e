"""Models that write about images: the decoder of text is read, what sees is not.

Its config stands in text_config, of which a file leaves out what is as transformers has it by
default. Without an image, text runs through it as through the decoder alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.architecture import HuggingFaceForm
from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Description
from inferstack.models.names import Names, Stacks

OUTER = frozenset(
    {
        "gemma3", "idefics3", "internvl", "llava", "llava_next", "llava_onevision",
        "mistral3", "qwen2_5_vl", "qwen2_vl", "qwen3_vl", "smolvlm",
    }
)  # fmt: skip
"""Values of `model_type`. Source: transformers, the folders of these names in models/."""
SAME = {"qwen2_vl": "qwen2", "qwen2_5_vl": "qwen2", "qwen3_vl": "qwen3"}
SAME |= {f"{name}_text": inner for name, inner in SAME.items()}
"""Text of these is read as that; its three numbers of a position are one without an image."""
PREFIXES = ("language_model.", "model.language_model.", "model.text_model.")
"""In front of the names of its weights, older and newer. Source: transformers, the checkpoints'."""
TEXT, UNREAD = "text_config", ("vision_config",)
DEFAULTS = Path(__file__).parent / "library" / "text_defaults.json"


@cache
def defaults() -> dict[str, dict[str, object]]:
    """What transformers' config classes say where a text_config does not, by its model_type."""
    found: dict[str, dict[str, object]] = json.loads(DEFAULTS.read_text(encoding="utf-8"))
    return found


def inner_type(where: str, content: Mapping[str, object]) -> str:
    """The `model_type` of the text. Raises CheckpointError."""
    own = content.get(TEXT, content)
    kind = own.get("model_type") if isinstance(own, dict) else None
    if not isinstance(kind, str):
        raise CheckpointError(
            f"{where}, {TEXT}", "has no model_type", got=printable(str(kind)), need="one of text"
        )
    return SAME.get(kind, kind)


@dataclass(frozen=True, slots=True)
class TextPart:
    """A `HuggingFaceForm` of the text of another model. form: of the text by itself."""

    form: HuggingFaceForm

    @property
    def model_types(self) -> frozenset[str]:
        """Those of models that hold a text."""
        return OUTER

    @property
    def reads_weights(self) -> bool:
        """As the text by itself."""
        return self.form.reads_weights

    def read_config(self, where: str, content: Mapping[str, object]) -> Any:
        """The text's description."""
        kind = inner_type(where, content)
        outer = ConfigFile(where, content if TEXT in content else {**content, TEXT: content})
        inner = outer.within(TEXT, defaults().get(kind, {}))
        said = {**inner.content, "model_type": kind}
        if outer.has("tie_word_embeddings"):
            said["tie_word_embeddings"] = outer.flag("tie_word_embeddings", True)
        described = self.form.read_config(inner.where, said)
        if not isinstance(described, Description) or not described.writes:
            raise CheckpointError(inner.where, "is no decoder of text", got=printable(kind))
        return replace(described, unread=tuple(key for key in UNREAD if key in content))

    def names(self, config: Any) -> Names | Stacks:
        """Those of the text by itself, inside of what holds it."""
        found = self.form.names(config)
        assert isinstance(found, Names), "a decoder is one stack"
        # "language_model.model.layers" is older than "model.language_model.layers".
        inside = [f"{outer}{own}" for outer in PREFIXES for own in found.prefixes]
        return replace(found, prefixes=(*inside, *found.prefixes))
