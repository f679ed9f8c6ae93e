"""A decoder in a GGUF file: its architecture, weights and tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.core.dtypes import DType
from inferstack.core.errors import CheckpointError
from inferstack.models.architecture import Architecture
from inferstack.models.checkpoint_weights import CheckpointWeights, bare
from inferstack.models.description import Description
from inferstack.models.gguf_config import FACTORS, LONG, SHORT, gguf_config, gguf_names
from inferstack.models.gguf_file import GgufFile, GgufTensor, open_gguf
from inferstack.models.hugging_face import architecture_in
from inferstack.models.names import Names
from inferstack.models.stored_sizes import StoredSizes
from inferstack.models.weight_files import WeightFile
from inferstack.models.weight_type import WeightType

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

PLAIN = {
    "F32": DType.FLOAT32,
    "F16": DType.FLOAT16,
    "BF16": DType.BFLOAT16,
    "F64": DType.FLOAT64,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GgufModel:
    """description: what the family makes of the file."""

    file: GgufFile
    architecture: Architecture
    description: Description
    names: Names

    def weights(self, *, straight: bool = True) -> CheckpointWeights:
        """Its weights, by the graph's names."""
        tensors: WeightFile = self.file
        if self.file.metadata["general.architecture"] == "llama":
            of = self.description.layers[0].attention
            tensors = _Untwisted(self.file, {"attn_q": of.heads, "attn_k": of.kv_heads})
        used = (n for n in self.file.tensors if n not in (FACTORS, LONG, SHORT))
        files: dict[str, WeightFile] = dict.fromkeys(used, tensors)
        return CheckpointWeights(
            self.file.path, self.names, straight=straight, files=files, described_by="its metadata"
        )


class _Untwisted:
    """The converter to llama lets neighbours turn as pairs where the checkpoint has halves; here
    queries and keys are put back. heads: by module.

    Source: llama.cpp, convert_hf_to_gguf.py, LlamaModel.permute.
    """

    def __init__(self, file: GgufFile, heads: Mapping[str, int]) -> None:
        self.file, self.heads = file, heads

    @property
    def path(self) -> Path:
        """The file."""
        return self.file.path

    @property
    def tensors(self) -> Mapping[str, GgufTensor]:
        """Those of the file."""
        return self.file.tensors

    def float32(self, name: str) -> Array:
        """The values as the checkpoint had them."""
        import numpy as np

        values = self.file.float32(name)
        module = name.split(".")[-2] if "." in name else ""
        if module not in self.heads:
            return values
        rows = values.reshape(self.heads[module], -1, 2, *bare(values.shape)[1:])
        return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(values.shape)


def open_model(path: Path) -> GgufModel:
    """The decoder in the file; its weights are not read yet. Raises CheckpointError."""
    file = open_gguf(path)
    where, content = str(path), gguf_config(file)
    architecture, form = architecture_in(where, content)
    description = form.read_config(where, content)
    names = form.names(description)
    if not isinstance(description, Description) or not isinstance(names, Names):
        raise CheckpointError(where, "is no decoder of one stack")
    return GgufModel(
        file=file, architecture=architecture, description=description, names=gguf_names(names)
    )


def weight_type(model: GgufModel) -> WeightType:
    """Each tensor as the file stores it; activations in the type that most of its bytes have, or
    float16 beside integers."""
    sizes: dict[str, int] = {}
    tensors = model.file.tensors
    for tensor in tensors.values():
        sizes[tensor.kind.name] = sizes.get(tensor.kind.name, 0) + tensor.size_bytes
    most = max(sizes, key=lambda kind: sizes[kind], default="F32")
    element = PLAIN.get(most, DType.FLOAT16)
    stored = StoredSizes.of(
        model.names, ((name, one.shape, one.size_bytes) for name, one in tensors.items())
    )
    source = f"activations; weights as in the file, most of them {most}"
    return WeightType(element=element, stored=stored, source=source)
