"""Closed sets that callers choose from, light enough for the command line's help."""

from __future__ import annotations

from enum import StrEnum

from inferstack.analysis.convention import Mask
from inferstack.analysis.workload import Task

__all__ = ["SHOWN_CLASSES", "WRITTEN_TOKENS", "ElementType", "Group", "Mask", "Task"]


class ElementType(StrEnum):
    """What an element of weights and activations is."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"
    INT4 = "int4"


class Group(StrEnum):
    """What a row of the table is."""

    PART = "part"
    KIND = "kind"
    OPERATOR = "operator"


WRITTEN_TOKENS = 128
"""That a decoder writes at most where nothing else is asked for."""

SHOWN_CLASSES = 5
"""Of an image, where nothing else is asked for."""
