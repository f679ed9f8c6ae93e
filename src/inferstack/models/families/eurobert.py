"""EuroBERT: Llama's layers in which every token sees all.

Source: Boizard et al. 2025, arXiv:2503.05500; transformers, models/eurobert.
"""

from __future__ import annotations

from dataclasses import replace

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Description
from inferstack.models.families.llama import NAMES, LlamaFamily
from inferstack.models.family import ENCODER
from inferstack.models.names import Names


class EuroBertFamily(LlamaFamily):
    """See the module."""

    model_types = frozenset({"eurobert"})
    phases = ENCODER

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        return replace(super().describe(file), causal=False, head=None)

    def names(self, description: Description) -> Names:
        """See `Family`."""
        return NAMES


ARCHITECTURE = EuroBertFamily()
