"""`load_accelerator`: a description from the library or from a file, checked, with its sources.

A file may start from a machine of the library: `extends: gemmini`, then only what differs; see
`hardware.extends`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from inferstack.core.errors import AcceleratorError, UnknownNameError
from inferstack.core.foreign import recognised
from inferstack.core.forms import first_fault, shown
from inferstack.core.provenance import Source
from inferstack.core.yaml import read_yaml
from inferstack.hardware import schema
from inferstack.hardware.accelerator import (
    Accelerator,
    Array,
    Axis,
    Control,
    Dma,
    FanOut,
    Host,
    Level,
    Missing,
    VectorUnit,
)
from inferstack.hardware.checks import check_description
from inferstack.hardware.extends import merged
from inferstack.hardware.names import LIBRARY, library_names
from inferstack.ops.registry import rules

_CAPACITY_HINT = "write an integer number of bytes (262144), or 256 KiB with a space"
_PAIR_HINT = (
    "write [value, source], for example [16, gemmini], where `sources` says what gemmini is"
)

T = TypeVar("T")


def load_accelerator(name_or_path: str | Path) -> Accelerator:
    """The accelerator of that name in the library, or the one described in a YAML file.

    Text that ends in .yaml or .yml or holds a slash is a path; other text is a name. Raises
    UnknownNameError for a name, AcceleratorError (file and key path) for a file.
    """
    return read_accelerator(description_file(name_or_path))


def description_file(name_or_path: str | Path) -> Path:
    """The file of an accelerator. Raises UnknownNameError for a name that is none."""
    text = str(name_or_path)
    is_path = isinstance(name_or_path, Path) or "/" in text or "\\" in text
    if is_path or text.lower().endswith((".yaml", ".yml")):
        return Path(name_or_path)
    return _library_file("--on", text)


def read_accelerator(path: Path) -> Accelerator:
    """The accelerator that `path` describes. Raises AcceleratorError."""
    return accelerator_of(read_description(path), path)


def read_description(path: Path) -> dict[str, Any]:
    """What a file says, over what it extends, as plain data. Raises AcceleratorError."""
    return _content(path, ())


def whole_description(content: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """A description made in Python, over what it extends. where: for messages."""
    return _extended(where, dict(content), ())


def accelerator_of(content: Mapping[str, Any], path: Path) -> Accelerator:
    """The accelerator of a whole description. path: for messages. Raises AcceleratorError."""
    try:
        checked = schema.AcceleratorFile.model_validate(content)
    except ValidationError as failure:
        raise _explained(path, failure) from None
    checked = _with_like_units(checked)
    sources, used = _collected(path, checked)
    accelerator = _built(checked, sources)
    check_description(path, accelerator)
    for key in checked.sources:
        if key not in used:
            raise AcceleratorError(
                f"{path}, sources.{key}", "is the source of no number",
                hint=f"write [value, {key}] where it is, or take it out",
            )  # fmt: skip
    return accelerator


def _library_file(where: str, name: str) -> Path:
    if name not in library_names():
        raise UnknownNameError(where, "accelerator", name, library_names())
    return LIBRARY / f"{name}.yaml"


def _content(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The file's mapping over the one that it extends."""
    content = read_yaml(path, AcceleratorError)
    known = recognised(path)
    own = isinstance(content, dict) and {"extends", "levels", "name", "array"} & set(content)
    if known is not None and not own:
        raise AcceleratorError(
            str(path), "not an accelerator description", got=known.what, hint=known.instead
        )
    if not isinstance(content, dict):
        raise AcceleratorError(
            str(path), "not an accelerator description", got=shown(content), need="a mapping"
        )
    return _extended(path, content, seen)


def _extended(path: Path, content: dict[str, Any], seen: tuple[Path, ...]) -> dict[str, Any]:
    """The content over what it extends."""
    if "extends" not in content:
        return content
    base_name = content.pop("extends")
    if not isinstance(base_name, str):
        raise AcceleratorError(
            f"{path}, extends", "not a name", got=shown(base_name), need="a name of the library"
        )
    base = _library_file(f"{path}, extends", base_name)
    if base in seen:
        raise AcceleratorError(f"{path}, extends", "extends itself", got=base_name)
    return merged(str(path), _content(base, (*seen, base)), content)


def _explained(path: Path, failure: ValidationError) -> AcceleratorError:
    """The first mistake, in words that say what to write."""
    fault = first_fault(schema.AcceleratorFile, failure)
    keys = tuple(key for key in fault.keys if key not in ("value", "source"))
    where = f"{path}, {'.'.join(keys)}" if keys else str(path)
    last = keys[-1] if keys else ""
    if fault.kind == "value_error":
        return AcceleratorError(
            where, "not a number with its source", got=fault.got, hint=_PAIR_HINT
        )
    if last == "capacity_bytes" and fault.kind in ("int_type", "int_from_float"):
        return AcceleratorError(
            where, "not a capacity", got=fault.got, need="bytes", hint=_CAPACITY_HINT
        )
    if last in ("dims", "row_dims", "column_dims") and fault.kind == "too_short":
        return AcceleratorError(
            where,
            "no dimension may run along this axis",
            need="at least one dimension, for example k",
        )
    if last == "levels" and fault.kind == "too_short":
        return AcceleratorError(
            where,
            "a level is missing",
            got=f"{len(failure.errors()[0]['input'])} level(s)",
            need="the outermost memory and at least one on the chip",
        )
    hint = fault.hint
    if fault.kind == "extra_forbidden" and len(keys) == 1 and hint is not None:
        hint = hint.replace("keys known here: ", "keys known here: extends, ")
    return AcceleratorError(where, fault.what, got=fault.got, need=fault.need, hint=hint)


def _collected(path: Path, model: BaseModel) -> tuple[dict[str, Source], set[str]]:
    """The source of each number by dotted path, and the keys of those sources.

    Raises AcceleratorError for an unknown key.
    """
    entries = cast(schema.AcceleratorFile, model).sources
    found: dict[str, Source] = {}
    used: set[str] = set()

    def walk(value: object, keys: tuple[str, ...]) -> None:
        if isinstance(value, schema.Number):
            entry = entries.get(value.source)
            if entry is None:
                where = f"{path}, {'.'.join(keys)}"
                raise _unknown_source(where, value.source, entries)
            found[".".join(keys)] = Source(claim=entry.claim, text=entry.text)
            used.add(value.source)
        elif isinstance(value, BaseModel):
            for name in type(value).model_fields:
                walk(getattr(value, name), (*keys, name))
        elif isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, (*keys, name))

    walk(model, ())
    return found, used


def _unknown_source(where: str, name: str, known: Mapping[str, object]) -> AcceleratorError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    hint += "`sources` has " + (", ".join(known) or "no entry")
    return AcceleratorError(where, "unknown source", got=repr(name), hint=hint)


def _built(file: schema.AcceleratorFile, sources: Mapping[str, Source]) -> Accelerator:
    return Accelerator(
        name=file.name,
        description=" ".join(file.description.split()),
        clock_hz=file.clock_hz.value,
        levels=tuple(_level(name, level) for name, level in file.levels.items()),
        array=Array(
            rows=file.array.rows.value,
            columns=file.array.columns.value,
            dataflow=file.array.dataflow,
            row_dims=tuple(file.array.row_dims),
            column_dims=tuple(file.array.column_dims),
            pass_cycles=file.array.pass_cycles.value,
            fill_cycles=file.array.fill_cycles.value,
            mac_pj=file.array.mac_pj.value,
        ),
        vector_unit=_vector_unit(file.vector_unit) if file.vector_unit else None,
        dma=_dma(file),
        host=_host(file),
        sources=sources,
        fan_outs=_fan_outs(file),
        forwards_to=tuple(file.forwards_to),
        control=file.control,
    )


def _dma(file: schema.AcceleratorFile) -> Dma:
    if file.dma is None:
        return cast(Dma, Missing(file.name, "dma"))
    return Dma(**{name: getattr(file.dma, name).value for name in type(file.dma).model_fields})


def _host(file: schema.AcceleratorFile) -> Host:
    if file.host is None:
        return cast(Host, Missing(file.name, "host"))
    return Host(
        cycles_per_element=_values(file.host.cycles_per_element),
        default_cycles_per_element=file.host.default_cycles_per_element.value,
        pj_per_cycle=file.host.pj_per_cycle.value,
    )


def _fan_outs(file: schema.AcceleratorFile) -> tuple[FanOut, ...]:
    """Outer to inner; one below a level that does not exist comes last, to be refused."""
    order = list(file.levels)
    return tuple(
        FanOut(
            below=below,
            axes=tuple(
                Axis(name=name, size=axis.size.value, dims=tuple(axis.dims))
                for name, axis in axes.items()
            ),
        )
        for below, axes in sorted(
            file.fan_outs.items(),
            key=lambda entry: order.index(entry[0]) if entry[0] in order else len(order),
        )
    )


def _level(name: str, level: schema.LevelFile) -> Level:
    return Level(
        name=name,
        capacity_bytes=level.capacity_bytes.value if level.capacity_bytes else None,
        holds=frozenset(level.holds),
        read_bytes_per_cycle=level.read_bytes_per_cycle.value,
        write_bytes_per_cycle=level.write_bytes_per_cycle.value,
        shared_port=level.shared_port,
        double_buffered=level.double_buffered,
        read_pj_per_byte=level.read_pj_per_byte.value,
        write_pj_per_byte=level.write_pj_per_byte.value,
        partial_sum_bits=level.partial_sum_bits.value,
    )


def _with_like_units(file: schema.AcceleratorFile) -> schema.AcceleratorFile:
    """With a unit for each kind that is computed like one that has a unit (see `Rule.unit`).

    Not where programs run: they have an instruction for each kind, and a host for all else.
    """
    unit = file.vector_unit
    if unit is None or file.control is not Control.SEQUENCER:
        return file
    like = {
        kind: unit.kinds[rule.unit]
        for kind, rule in rules().items()
        if kind not in unit.kinds and rule.unit in unit.kinds
    }
    whole = unit.model_copy(update={"kinds": {**unit.kinds, **like}})
    return file.model_copy(update={"vector_unit": whole})


def _vector_unit(unit: schema.VectorUnitFile) -> VectorUnit:
    return VectorUnit(
        lanes=unit.lanes.value,
        passes={kind: row.passes.value for kind, row in unit.kinds.items()},
        row_overhead_cycles={k: row.row_overhead_cycles.value for k, row in unit.kinds.items()},
        energy_pj={kind: row.energy_pj.value for kind, row in unit.kinds.items()},
        level=unit.level,
    )


def _values(numbers: Mapping[str, schema.Number[T]]) -> dict[str, T]:
    return {name: number.value for name, number in numbers.items()}
