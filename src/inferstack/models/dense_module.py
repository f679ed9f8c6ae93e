"""`Dense`: a dense layer behind the pooling, as a folder of its own inside a sentence encoder's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from inferstack.core.errors import CheckpointError
from inferstack.core.text import printable
from inferstack.models.config_file import ConfigFile, folder_file, read_object
from inferstack.models.feed_forward import ACTIVATIONS
from inferstack.models.weight_files import OPENERS, WeightFile

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

TORCHS = {
    f"torch.nn.modules.{name}": ours
    for name, ours in (
        ("activation.Tanh", "tanh"),
        ("activation.ReLU", "relu"),
        ("activation.GELU", "gelu"),
        ("activation.SiLU", "silu"),
        ("linear.Identity", ""),
    )
}
USUAL = "torch.nn.modules.activation.Tanh"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dense:
    """activation(x weight + bias), and x, or x residual, on top.

    weight, residual: (inputs, outputs). activation: a key of ACTIVATIONS, or "" for none. keeps:
    whether x, or x residual, is added.
    """

    weight: Array
    bias: Array | None
    activation: str
    keeps: bool = False
    residual: Array | None = None

    @property
    def width(self) -> int:
        """Outputs."""
        return int(self.weight.shape[1])


def module_file(module: ConfigFile, name: str) -> str:
    """The path of a module's file inside the model folder, which it must not leave."""
    path = module.text("path")
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise CheckpointError(
            module.where, "a module's path leads out of the model folder", got=printable(path)
        )
    if not path.isprintable():
        raise CheckpointError(module.where, "a module's path is no file name", got=printable(path))
    return str(PurePosixPath(path) / name)


def read_dense(folder: Path, module: ConfigFile, width: int) -> Dense:
    """The layer behind embeddings of `width`. Raises CheckpointError."""
    name = module_file(module, "config.json")
    content = read_object(folder, name)
    if content is None:
        raise CheckpointError(str(folder / name), "does not exist, but modules.json names it")
    file = ConfigFile(str(folder / name), content)
    for key in ("module_input_name", "module_output_name"):
        file.only(key, "sentence_embedding")
    inputs, outputs = file.whole("in_features", 2**20), file.whole("out_features", 2**20)
    if inputs != width:
        raise CheckpointError(
            file.where, "in_features is not the width of what stands before it", got=inputs,
            need=width,
        )  # fmt: skip
    activation = ""
    if "activation_function" not in file.content:
        file.optional("activation_function", None)
        activation = TORCHS[USUAL]
    elif file.has("activation_function"):
        activation = file.choice("activation_function", TORCHS)
    assert not activation or activation in ACTIVATIONS, "each has an operator"
    weights = _weights(folder, module)
    keeps = file.flag("use_residual", False)
    bias = _tensor(weights, "linear.bias", (outputs,)) if file.flag("bias", True) else None
    return Dense(
        weight=_tensor(weights, "linear.weight", (outputs, inputs)).T.copy(),
        bias=bias,
        activation=activation,
        keeps=keeps,
        residual=_tensor(weights, "residual.weight", (outputs, inputs)).T.copy()
        if keeps and inputs != outputs
        else None,
    )


def _weights(folder: Path, module: ConfigFile) -> WeightFile:
    for name, opened in OPENERS.items():
        path = folder_file(folder, module_file(module, name))
        if path is not None:
            return opened(path)
    first, *others = (module_file(module, name) for name in OPENERS)
    raise CheckpointError(
        str(folder / first), "does not exist, but modules.json names it",
        need=f"it, or {' or '.join(others)}",
    )  # fmt: skip


def _tensor(file: WeightFile, name: str, shape: tuple[int, ...]) -> Array:
    if name not in file.tensors:
        others = f"{len(file.tensors):,} tensors with other names"
        raise CheckpointError(str(file.path), f"lacks the tensor {name!r}", got=others)
    if (got := file.tensors[name].shape) != shape:
        raise CheckpointError(
            f"{file.path}, tensor {name}", "has another shape than config.json says", got=got,
            need=shape,
        )  # fmt: skip
    return file.float32(name)
