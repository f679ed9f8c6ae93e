"""Mappings as YAML files: saved, edited by hand, loaded, checked and costed again.

operator: proj
accelerator: peers-target
contraction: {dims: {m: 512, n: 768, k: 768}, reductions: [k], operands: [...]}
nest:
- {loop: m, step: 256}
- {store: a, level: scratchpad}
- {spatial: k, extent: 16, axis: row}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inferstack.core.errors import MappingError
from inferstack.core.yaml import read_yaml
from inferstack.hardware.accelerator import Role
from inferstack.mapping.contraction import Contraction, Operand
from inferstack.mapping.nest import Loop, Mapping, Node, Spatial, Store
from inferstack.mapping.shapes import LARGEST_EXTENT
from inferstack.ops.rule import Affine

Extent = Annotated[int, Field(gt=0, le=LARGEST_EXTENT)]
Word = Annotated[str, Field(min_length=1, max_length=200)]
_KINDS = {"loop": {"step"}, "store": {"level"}, "spatial": {"extent", "axis"}}
_OPTIONAL = {"loop": set[str](), "store": {"refetched"}, "spatial": {"step"}}


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _IndexFile(_Strict):
    terms: dict[Word, int]
    offset: int = 0


class _OperandFile(_Strict):
    slot: Word
    role: str
    bits: Annotated[int, Field(gt=0, le=64)]
    indices: list[_IndexFile]
    origin: Word | None = None


class _ContractionFile(_Strict):
    dims: Annotated[dict[Word, Extent], Field(min_length=1, max_length=16)]
    reductions: list[Word]
    operands: Annotated[list[_OperandFile], Field(min_length=3, max_length=3)]
    bias_bits: Annotated[int, Field(gt=0, le=64)] | None = None


class _MappingFile(_Strict):
    operator: Word
    accelerator: Word
    contraction: _ContractionFile
    nest: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1000)]
    fused: list[Word] = []


def save_mapping(path: Path, mapping: Mapping, contraction: Contraction) -> None:
    """Writes the mapping and what it is a mapping of."""
    path.write_text(mapping_text(mapping, contraction), encoding="utf-8")


def mapping_text(mapping: Mapping, contraction: Contraction) -> str:
    """The content of a mapping file."""
    content: dict[str, Any] = {
        "operator": mapping.operator,
        "accelerator": mapping.accelerator,
        "contraction": _contraction_content(contraction),
        "nest": [node_content(node) for node in mapping.nodes],
    }
    if mapping.fused:
        content["fused"] = list(mapping.fused)
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100)


def node_content(node: Node) -> dict[str, Any]:
    """A node as plain data."""
    if isinstance(node, Loop):
        return {"loop": node.dim, "step": node.step}
    if isinstance(node, Store):
        again = {"refetched": True} if node.refetched else {}
        return {"store": node.slot, "level": node.level, **again}
    step = {"step": node.step} if node.step != 1 else {}
    return {"spatial": node.dim, "extent": node.extent, "axis": node.axis, **step}


def _contraction_content(contraction: Contraction) -> dict[str, Any]:
    operands = []
    for operand in contraction.operands:
        origin = {"origin": operand.origin} if operand.origin else {}
        indices = [
            {"terms": dict(i.terms), **({"offset": i.offset} if i.offset else {})}
            for i in operand.indices
        ]
        operands.append(
            {
                "slot": operand.slot,
                "role": operand.role.value,
                "bits": operand.bits,
                "indices": indices,
                **origin,
            }
        )
    bias = {} if contraction.bias_bits is None else {"bias_bits": contraction.bias_bits}
    return {
        "dims": dict(contraction.dims),
        "reductions": sorted(contraction.reductions),
        "operands": operands,
        **bias,
    }


def load_mapping(path: Path) -> tuple[Mapping, Contraction]:
    """The mapping of a file, and what it is a mapping of. Raises MappingError.

    Whether the mapping makes sense and fits, `cost.cost` and `cost.nest_cost` say.
    """
    content = read_yaml(path, MappingError)
    try:
        file = _MappingFile.model_validate(content)
    except ValidationError as failure:
        problem = failure.errors()[0]
        keys = ".".join(str(key) for key in problem["loc"])
        where = f"{path}, {keys}" if keys else str(path)
        shown = repr(problem["input"])[:60] if problem["type"] != "missing" else None
        raise MappingError(where, problem["msg"].rstrip("."), got=shown) from None
    contraction = _contraction(path, file)
    mapping = Mapping(
        operator=file.operator,
        accelerator=file.accelerator,
        nodes=tuple(_node(f"{path}, nest.{i}", entry) for i, entry in enumerate(file.nest)),
        fused=tuple(file.fused),
    )
    return mapping, contraction


def _contraction(path: Path, file: _MappingFile) -> Contraction:
    own = file.contraction
    where = f"{path}, contraction"
    roles = [operand.role for operand in own.operands]
    if sorted(roles) != sorted(role.value for role in Role):
        raise MappingError(where, "not one input, weight and output", got=", ".join(roles))
    named = {dim for o in own.operands for i in o.indices for dim in i.terms}
    for dim in sorted({*named, *own.reductions} - set(own.dims)):
        raise MappingError(where, "a dimension has no extent", got=dim, need=", ".join(own.dims))
    order = {role.value: number for number, role in enumerate(Role)}
    return Contraction(
        name=file.operator,
        dims=tuple(own.dims.items()),
        reductions=frozenset(own.reductions),
        operands=tuple(
            Operand(
                slot=operand.slot,
                role=Role(operand.role),
                indices=tuple(Affine(tuple(i.terms.items()), i.offset) for i in operand.indices),
                bits=operand.bits,
                origin=operand.origin,
            )
            for operand in sorted(own.operands, key=lambda operand: order[operand.role])
        ),
        bias_bits=own.bias_bits,
    )


def _node(where: str, entry: dict[str, Any]) -> Node:
    """A node from plain data. Raises MappingError."""
    kinds = [kind for kind in _KINDS if kind in entry]
    if len(kinds) != 1:
        raise MappingError(
            where, "not a node", got=entry, need="one of loop, store, spatial",
            hint="for example {loop: m, step: 16}",
        )  # fmt: skip
    kind = kinds[0]
    wanted, own = _KINDS[kind], set(entry) - {kind}
    if not wanted <= own <= wanted | _OPTIONAL[kind]:
        raise MappingError(
            where, f"a {kind} has other keys", got=", ".join(sorted(own)) or "none",
            need=", ".join(sorted(wanted)),
        )  # fmt: skip
    for key in own & {"step", "extent"}:
        value = entry[key]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise MappingError(f"{where}.{key}", "not a size", got=value, need="a whole number")
    for key in own & {"level", "axis"} | {kind}:
        if not isinstance(entry[key], str):
            raise MappingError(f"{where}.{key}", "not a name", got=entry[key])
    if not isinstance(entry.get("refetched", False), bool):
        raise MappingError(f"{where}.refetched", "not true or false", got=entry["refetched"])
    if kind == "loop":
        return Loop(entry["loop"], entry["step"])
    if kind == "store":
        return Store(entry["store"], entry["level"], entry.get("refetched", False))
    return Spatial(entry["spatial"], entry["extent"], entry["axis"], entry.get("step", 1))


def node_of(entry: dict[str, Any]) -> Node:
    """A node from what `node_content` made. Raises MappingError."""
    return _node("node", entry)
