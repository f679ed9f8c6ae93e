"""CodeGen: GPT-J with query, value and key in one tensor, in four groups of heads.

Source: Nijkamp et al. 2022, arXiv:2203.13474; transformers, models/codegen.
"""

from __future__ import annotations

from inferstack.models.config_file import ConfigFile
from inferstack.models.description import Attention, Description
from inferstack.models.families.gptj import GptJFamily
from inferstack.models.names import Part

GROUPS = 4


class CodeGenFamily(GptJFamily):
    """See the module."""

    model_types = frozenset({"codegen"})

    def describe(self, file: ConfigFile) -> Description:
        """See `Family`."""
        found = super().describe(file)
        file.multiple("n_head", found.layers[0].attention.heads, "its tensor's groups", GROUPS)
        return found

    def projections(self) -> dict[str, str]:
        """The modules of query, key and value."""
        return dict.fromkeys(("query", "key", "value"), "attn.qkv_proj")

    def parts(self, of: Attention) -> dict[str, Part]:
        """Of tensors that they share."""
        sizes = (of.heads * of.width // GROUPS,) * 3
        return {
            name: Part(groups=GROUPS, sizes=sizes, index=index)
            for index, name in enumerate(("query", "value", "key"))
        }


ARCHITECTURE = CodeGenFamily()
