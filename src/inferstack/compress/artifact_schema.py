"""What graph.json may hold. Only `artifact` imports this: pydantic stays at the file's boundary."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from inferstack.core.dtypes import DType
from inferstack.ir.graph import TensorRole

Name = Annotated[str, Field(min_length=1, max_length=500)]
Extent = Annotated[int, Field(ge=1, le=2**40)]
Finite = Annotated[float, Field(allow_inf_nan=False, gt=0)]
DTYPES = "|".join(dtype.value for dtype in DType)
ROLES = "|".join(role.value for role in TensorRole)


class Record(BaseModel):
    """Strict: no unknown keys, no conversions."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TensorRecord(Record):
    """A tensor; `values` says whether model.safetensors has it."""

    name: Name
    shape: Annotated[list[Extent], Field(max_length=8)]
    dtype: Annotated[str, Field(pattern=f"^({DTYPES})$")]
    role: Annotated[str, Field(pattern=f"^({ROLES})$")]
    scale: Finite | list[Finite] | None
    row_scale: list[Finite] | None = None
    values: bool


class OperatorRecord(Record):
    """An operator."""

    name: Name
    kind: Name
    inputs: dict[Name, Name]
    output: Name
    attributes: dict[Name, bool | int | float | str | list[int] | list[float]]
    part: Name


class GraphRecord(Record):
    """The whole file."""

    format: str
    version: int
    name: Name
    tensors: list[TensorRecord]
    operators: list[OperatorRecord]
    inputs: list[Name]
    outputs: Annotated[list[Name], Field(min_length=1)]
    repeats: dict[Name, Annotated[int, Field(ge=1)]]
