"""The form of an accelerator file. Every number is written `[value, key of its source]`.

Only `hardware.load` uses these models; inside the house an accelerator is the frozen `Accelerator`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from inferstack.core.forms import PRINTABLE, PRINTABLE_LINES
from inferstack.core.provenance import Claim
from inferstack.hardware.accelerator import Control, Role

_UNIT_BYTES = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
LARGEST = 2**50
_BY_VALUE = Field(strict=False)
"""Of a choice: it is written as its text."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _in_bytes(value: object) -> object:
    """ "256 KiB" in bytes; everything else as it is, for the integer check to refuse."""
    written = (
        re.fullmatch(r"([0-9]{1,12}) (KiB|MiB|GiB)", value) if isinstance(value, str) else None
    )
    return int(written[1]) * _UNIT_BYTES[written[2]] if written else value


Whole = Annotated[int, Field(gt=0, le=LARGEST)]
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST)]
CapacityBytes = Annotated[int, BeforeValidator(_in_bytes), Field(gt=0, le=LARGEST)]
Word = Annotated[str, Field(min_length=1, max_length=80, pattern=PRINTABLE)]
Text = Annotated[str, Field(min_length=1, max_length=2000, pattern=PRINTABLE_LINES)]
Dims = Annotated[list[Word], Field(min_length=1, max_length=8)]

Value = TypeVar("Value")


class Number(_Strict, Generic[Value]):
    """A value and the key of its source, written `[value, source]`."""

    value: Value
    source: str

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, written: Any) -> Any:
        if isinstance(written, list) and len(written) == 2:
            return {"value": written[0], "source": written[1]}
        raise ValueError("a number is written [value, source]")


class SourceFile(_Strict):
    """One entry of `sources`."""

    claim: Annotated[Claim, _BY_VALUE]
    text: Text


class LevelFile(_Strict):
    """One memory; without capacity_bytes it is unbounded (DRAM)."""

    capacity_bytes: Number[CapacityBytes] | None = None
    holds: Annotated[list[Annotated[Role, _BY_VALUE]], Field(min_length=1)]
    read_bytes_per_cycle: Number[Positive]
    write_bytes_per_cycle: Number[Positive]
    shared_port: bool
    double_buffered: bool
    read_pj_per_byte: Number[NotNegative]
    write_pj_per_byte: Number[NotNegative]
    partial_sum_bits: Number[Whole]


class ArrayFile(_Strict):
    """The multiply-accumulate array."""

    rows: Number[Whole]
    columns: Number[Whole]
    dataflow: Word
    """A name of `accelerator.DATAFLOWS`; `hardware.load` checks it."""
    row_dims: Dims
    column_dims: Dims
    pass_cycles: Number[Whole]
    fill_cycles: Number[Count]
    mac_pj: Number[NotNegative]


class AxisFile(_Strict):
    """One side of a fan-out."""

    size: Number[Whole]
    dims: Dims


class UnitFile(_Strict):
    """What the vector unit does for one kind of operator."""

    passes: Number[Whole]
    row_overhead_cycles: Number[Count]
    energy_pj: Number[NotNegative]


class VectorUnitFile(_Strict):
    """The units behind the accumulator, by operator kind."""

    level: Word | None = None
    lanes: Number[Whole]
    kinds: Annotated[dict[Word, UnitFile], Field(min_length=1)]


class DmaFile(_Strict):
    """The engine between DRAM and the chip, and the queues in front of the units."""

    bus_bytes: Number[Whole]
    request_bytes: Number[Whole]
    requests_in_flight: Number[Whole]
    read_latency_cycles: Number[Count]
    write_latency_cycles: Number[Count]
    load_queue: Number[Whole]
    execute_queue: Number[Whole]
    store_queue: Number[Whole]


class HostFile(_Strict):
    """The core that does what no unit supports."""

    cycles_per_element: dict[Word, Number[NotNegative]]
    default_cycles_per_element: Number[NotNegative]
    pj_per_cycle: Number[NotNegative]


class AcceleratorFile(_Strict):
    """The whole file, after `extends` is resolved."""

    name: Word
    description: Text
    sources: dict[Word, SourceFile]
    clock_hz: Number[Positive]
    control: Annotated[Control, _BY_VALUE] = Control.SEQUENCER
    levels: Annotated[dict[Word, LevelFile], Field(min_length=2, max_length=8)]
    array: ArrayFile
    vector_unit: VectorUnitFile | None = None
    dma: DmaFile | None = None
    host: HostFile | None = None
    forwards_to: list[Word] = []
    fan_outs: dict[Word, Annotated[dict[Word, AxisFile], Field(min_length=1)]] = {}
