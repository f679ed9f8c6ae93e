"""What a command is about: a model or layers."""

from __future__ import annotations

from collections.abc import Sequence

from inferstack.core.errors import InputError


def asked_name(
    model: str | None, layers: Sequence[str] | None, image_size: int | None, other: str = ""
) -> str:
    """MODEL; empty where --layer stands for it. other: what else may be given.

    Raises InputError for neither, both, and what goes with only one of them.
    """
    if layers and model is not None:
        raise InputError("--layer", f"stands beside the model {model!r}", need="one of the two")
    if layers and image_size is not None:
        raise InputError("--image-size", "stands beside --layer", need="h= and w= in the layer")
    if model is None and not layers:
        need = f"a model's name or folder, a file of layers, --layer KIND:SIZES {other}".strip()
        raise InputError("MODEL", "is missing", need=need, hint="for example: bert-base")
    return model or ""
