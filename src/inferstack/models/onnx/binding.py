"""What the inputs of an ONNX file are, by name, type and axes, and their sizes in a scenario."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from inferstack.core.errors import CheckpointError, InputError
from inferstack.core.text import printable
from inferstack.models.onnx.file import OnnxFile, Port
from inferstack.models.scenario import Phase, Scenario

FLOATS = frozenset({1, 10, 11, 16})
"""float32, float16, float64, bfloat16: numbers of ONNX."""
IMAGE_AXES = (2, 3)


class Role(Enum):
    """What an input is to the model. The value is its name in our graphs; "" for several."""

    IDS = "ids"
    TOKEN_TYPES = "token_type_ids"
    MASK = "mask"
    POSITIONS = "positions"
    CACHED = "cached"
    """Whether the branch with a cache runs (optimum's merged decoders)."""
    CACHE = ""
    SOURCE = "source"
    SOURCE_MASK = "source_mask"
    IMAGE = "image"
    SIGNAL = "signal"
    HIDDEN = "hidden"
    """Vectors of tokens, where words were looked up outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """An input with its role."""

    port: Port
    role: Role

    @property
    def rank(self) -> int:
        """Number of axes."""
        assert self.port.axes is not None, "read_inputs has checked"
        return len(self.port.axes)


def read_inputs(file: OnnxFile) -> tuple[Input, ...]:
    """The roles of all inputs. Raises CheckpointError for one that has none."""
    found = tuple(Input(port=port, role=_role(file, port)) for port in file.inputs)
    single = [i.role for i in found if i.role not in (Role.CACHE,)]
    if twice := next((role for role in single if single.count(role) > 1), None):
        names = ", ".join(printable(i.port.name) for i in found if i.role is twice)
        raise CheckpointError(str(file.path), f"has several inputs of {twice.value}", got=names)
    return found


def _role(file: OnnxFile, port: Port) -> Role:
    name, axes, is_float = port.name.lower(), port.axes, port.element in FLOATS
    rank = -1 if axes is None else len(axes)
    if "use_cache" in name and rank <= 1:
        return Role.CACHED
    if rank == 2 and "mask" in name:
        return Role.SOURCE_MASK if "encoder" in name or "source" in name else Role.MASK
    if rank == 2 and not is_float:
        if "token_type" in name or "segment" in name:
            return Role.TOKEN_TYPES
        return Role.POSITIONS if "position" in name else Role.IDS
    if is_float and rank == 4:
        return Role.CACHE if "past" in name or "cache" in name else Role.IMAGE
    if is_float and rank == 3:
        if "encoder" in name:
            return Role.SOURCE
        return Role.SIGNAL if "feature" in name else Role.HIDDEN
    raise CheckpointError(
        f"{file.path}, input {printable(port.name)}", "is of no kind that is known",
        got=f"type {port.element}, axes {axes}",
        need="ids, masks, types or positions (batch, tokens); an image (batch, channels, height, "
        "width); a signal or vectors with three axes; caches with four",
    )  # fmt: skip


def is_cached(inputs: tuple[Input, ...]) -> bool:
    """Whether it takes keys and values of earlier tokens."""
    return any(i.role is Role.CACHE for i in inputs)


def shapes_of(
    file: OnnxFile, inputs: tuple[Input, ...], scenario: Scenario, image_size: int | None
) -> dict[str, tuple[int, ...]]:
    """The shape of every input. Raises CheckpointError for an axis that nothing binds, InputError
    for a scenario that the file's own sizes exclude."""
    named: dict[str, int] = {}
    found = {}
    for one in inputs:
        sizes = []
        for axis, own in enumerate(one.port.axes or ()):
            size = _size(one, axis, scenario, image_size)
            sizes.append(_bound(file, one, axis, own, size, named))
        found[one.port.name] = tuple(sizes)
    return found


def fixed_tokens(inputs: tuple[Input, ...]) -> int | None:
    """The length of sequences, where the file says it."""
    for one in inputs:
        if one.role in (Role.IDS, Role.HIDDEN) and one.port.axes is not None:
            own = one.port.axes[1]
            if isinstance(own, int) and not is_cached(inputs):
                return own
    return None


def fixed_image(inputs: tuple[Input, ...]) -> int | None:
    """Height and width of images, where the file says them."""
    for one in inputs:
        axes = one.port.axes or ()
        if one.role is Role.IMAGE and isinstance(axes[2], int):
            return axes[2]
    return None


def _size(one: Input, axis: int, scenario: Scenario, image_size: int | None) -> int | None:
    """What a scenario makes of an axis; None where it says nothing."""
    role = one.role
    if axis == 0:
        return 1 if role is Role.CACHED else scenario.batch
    if role in (Role.IDS, Role.TOKEN_TYPES, Role.POSITIONS, Role.HIDDEN) and axis == 1:
        return scenario.new_tokens
    if role is Role.MASK:
        return scenario.attended_tokens
    if role in (Role.SOURCE, Role.SOURCE_MASK) and axis == 1:
        return scenario.read_tokens
    if role is Role.CACHE and isinstance((one.port.axes or ())[axis], str):
        crossed = "encoder" in one.port.name or "cross" in one.port.name
        return scenario.read_tokens if crossed else scenario.context_tokens
    if role is Role.IMAGE and axis in IMAGE_AXES:
        return image_size
    return None


def _bound(
    file: OnnxFile, one: Input, axis: int, own: int | str, size: int | None, named: dict[str, int]
) -> int:
    where = f"{file.path}, input {printable(one.port.name)}"
    if isinstance(own, int):
        if size is not None and own != size:
            flag = {0: "--batch"}.get(
                axis, "--image-size" if one.role is Role.IMAGE else "--seq-len"
            )
            raise InputError(
                where, f"axis {axis} has a size of its own in the file", got=size, need=own,
                hint=f"{flag} {own}, or export the model with dynamic axes",
            )  # fmt: skip
        return own
    if size is None:
        called = f" {printable(own)!r}" if own else ""
        raise CheckpointError(
            where, f"axis {axis}{called} has no size, and nothing binds it",
            need="a size in the file; batch and tokens alone may stay open",
            hint="--image-size N gives that of an image" if one.role is Role.IMAGE
            else "export the model with this size",
        )  # fmt: skip
    if own and named.setdefault(own, size) != size:
        raise CheckpointError(
            where, f"axis {axis} {printable(own)!r} has two sizes", got=size, need=named[own],
            hint="axes of one name have one size",
        )  # fmt: skip
    return size


def phases_of(inputs: tuple[Input, ...], *, causal: bool) -> tuple[Phase, ...]:
    """What a file can do, the usual pass first."""
    if is_cached(inputs):
        return (Phase.PREFILL, Phase.DECODE)
    return (Phase.PREFILL,) if causal else (Phase.ENCODE,)
