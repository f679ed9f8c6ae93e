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

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inferstack.core.errors import MappingError
from inferstack.core.files import MARK, write_atomically
from inferstack.core.foreign import MAPPING, recognised
from inferstack.core.forms import PRINTABLE, first_fault
from inferstack.core.yaml import read_yaml
from inferstack.hardware.accelerator import Role
from inferstack.mapping.contraction import Contraction, Operand
from inferstack.mapping.epilogue import LOADED_KINDS, NO_EPILOGUE, Epilogue, VectorKind
from inferstack.mapping.file_checks import check_contraction
from inferstack.mapping.nest import Loop, Mapping, Node, Spatial, Store
from inferstack.mapping.shapes import LARGEST_EXTENT
from inferstack.ops.rule import Affine

Extent = Annotated[int, Field(gt=0, le=LARGEST_EXTENT)]
Word = Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE)]
NestFile = Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1000)]
_KINDS = {"loop": {"step"}, "store": {"level"}, "spatial": {"extent", "axis"}}
_OPTIONAL = {"loop": set[str](), "store": {"refetched"}, "spatial": {"step"}}


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class IndexFile(Strict):
    terms: dict[Word, int]
    offset: int = 0
    size: Extent | None = None

    @property
    def affine(self) -> Affine:
        """The index."""
        return Affine(tuple(self.terms.items()), self.offset, self.size)


class _OperandFile(Strict):
    slot: Word
    role: str
    bits: Annotated[int, Field(gt=0, le=64)]
    indices: list[IndexFile]
    origin: Word | None = None


class ContractionFile(Strict):
    dims: Annotated[dict[Word, Extent], Field(min_length=1, max_length=16)]
    reductions: list[Word]
    operands: Annotated[list[_OperandFile], Field(min_length=3, max_length=3)]
    bias_bits: Annotated[int, Field(gt=0, le=64)] | None = None
    row_factor_bits: Annotated[int, Field(gt=0, le=64)] | None = None
    fused_output_bits: Annotated[int, Field(gt=0, le=64)] | None = None


class _FusedFile(Strict):
    name: Word
    kind: VectorKind
    residual_bits: Annotated[int, Field(gt=0, le=64)] | None = None
    rescaled: bool = False


class _MappingFile(Strict):
    operator: Word
    accelerator: Word
    contraction: ContractionFile
    nest: NestFile
    fused: Annotated[list[_FusedFile], Field(max_length=16)] = []


def save_mapping(path: Path, mapping: Mapping, contraction: Contraction) -> None:
    """Writes the mapping and what it is a mapping of."""
    write_atomically(path, mapping_text(mapping, contraction))


def mapping_text(mapping: Mapping, contraction: Contraction) -> str:
    """The content of a mapping file."""
    content: dict[str, Any] = {
        "operator": mapping.operator,
        "accelerator": mapping.accelerator,
        "contraction": contraction_content(contraction),
        "nest": [node_content(node) for node in mapping.nodes],
    }
    if contraction.epilogue.kinds:
        content["fused"] = _fused_content(contraction.epilogue)
    return yaml_text(content)


def yaml_text(content: dict[str, Any]) -> str:
    """A file of ours, which says so at its top."""
    text: str = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100)
    return f"# {MARK}\n{text}"


def node_content(node: Node) -> dict[str, Any]:
    """A node as plain data."""
    if isinstance(node, Loop):
        return {"loop": node.dim, "step": node.step}
    if isinstance(node, Store):
        again = {"refetched": True} if node.refetched else {}
        return {"store": node.slot, "level": node.level, **again}
    step = {"step": node.step} if node.step != 1 else {}
    return {"spatial": node.dim, "extent": node.extent, "axis": node.axis, **step}


def index_content(index: Affine) -> dict[str, Any]:
    """An affine index as plain data."""
    found: dict[str, Any] = {"terms": dict(index.terms)}
    if index.offset:
        found["offset"] = index.offset
    if index.size is not None:
        found["size"] = index.size
    return found


def contraction_content(contraction: Contraction) -> dict[str, Any]:
    """A contraction as plain data."""
    operands = []
    for operand in contraction.operands:
        origin = {"origin": operand.origin} if operand.origin else {}
        indices = [index_content(index) for index in operand.indices]
        operands.append(
            {
                "slot": operand.slot,
                "role": operand.role.value,
                "bits": operand.bits,
                "indices": indices,
                **origin,
            }
        )
    bits = {
        "bias_bits": contraction.bias_bits,
        "row_factor_bits": contraction.row_factor_bits or None,
        "fused_output_bits": contraction.epilogue.output_bits,
    }
    return {
        "dims": dict(contraction.dims),
        "reductions": sorted(contraction.reductions),
        "operands": operands,
        **{name: width for name, width in bits.items() if width is not None},
    }


def _fused_content(epilogue: Epilogue) -> list[dict[str, Any]]:
    """The operators on the way out, in order."""
    content, residuals = [], iter(zip(epilogue.residual_bits, epilogue.scaled, strict=True))
    for name, kind in zip(epilogue.names, epilogue.kinds, strict=True):
        entry: dict[str, Any] = {"name": name, "kind": kind}
        if kind in LOADED_KINDS:
            bits, rescaled = next(residuals)
            entry |= {"residual_bits": bits, "rescaled": rescaled}
        content.append(entry)
    return content


def _epilogue(path: str, own: ContractionFile, fused: Sequence[_FusedFile]) -> Epilogue:
    """What follows. Raises MappingError where an addition does not say what it adds."""
    bits = own.fused_output_bits
    if not fused and bits is None:
        return NO_EPILOGUE
    if bits is None or not fused:
        missing = "contraction.fused_output_bits" if bits is None else "fused"
        raise MappingError(
            f"{path}, {missing}", "missing: operators on the way out and their width go together"
        )
    for number, one in enumerate(fused):
        if (one.kind in LOADED_KINDS) != (one.residual_bits is not None):
            raise MappingError(
                f"{path}, fused.{number}",
                "residual_bits is what an add or a multiply has, and nothing else",
                got=one.kind,
            )  # fmt: skip
        if one.kind != "add" and number < len(fused) - 1:
            raise MappingError(
                f"{path}, fused.{number}", "one operator ends the way out, behind additions",
                got=one.kind, need="the last place",
            )  # fmt: skip
    adds = [one for one in fused if one.residual_bits is not None]
    return Epilogue(
        names=tuple(one.name for one in fused),
        kinds=tuple(one.kind for one in fused),
        output_bits=bits,
        residual_bits=tuple(one.residual_bits for one in adds if one.residual_bits is not None),
        scaled=tuple(one.rescaled for one in adds),
    )


def load_mapping(path: Path) -> tuple[Mapping, Contraction]:
    """The mapping of a file, and what it is a mapping of. Raises MappingError.

    Whether the mapping makes sense and fits, `cost.cost` says.
    """
    content = read_yaml(path, MappingError)
    if not isinstance(content, dict) or not {"contraction", "nest"} & set(content):
        known = recognised(path)
        hints = [MAPPING] if known is None else dict.fromkeys((known.instead, MAPPING))
        raise MappingError(
            f"{path}", "not a mapping of inferstack", got=None if known is None else known.what,
            need="operator, accelerator, contraction, nest",
            hint="; ".join(hints),
        )  # fmt: skip
    try:
        file = _MappingFile.model_validate(content)
    except ValidationError as failure:
        raise explained(path, _MappingFile, failure) from None
    wanted = contraction_of(f"{path}", file.operator, file.contraction, file.fused)
    return nodes_of(f"{path}", wanted, file.accelerator, file.nest), wanted


def explained(path: Path, form: type[BaseModel], failure: ValidationError) -> MappingError:
    """The first mistake of a file. form: of the whole file."""
    fault = first_fault(form, failure)
    where = f"{path}, {fault.place}" if fault.keys else str(path)
    return MappingError(where, fault.what, got=fault.got, need=fault.need, hint=fault.hint)


def nodes_of(
    path: str, contraction: Contraction, accelerator: str, nest: list[dict[str, Any]]
) -> Mapping:
    """The mapping of a contraction from a file's nest. Raises MappingError."""
    return Mapping(
        operator=contraction.name,
        accelerator=accelerator,
        nodes=tuple(_node(f"{path}, nest.{i}", entry) for i, entry in enumerate(nest)),
        fused=contraction.epilogue.names,
    )


def contraction_of(
    path: str, name: str, own: ContractionFile, fused: Sequence[_FusedFile]
) -> Contraction:
    """The contraction of a file, with what follows it. Raises MappingError."""
    where = f"{path}, contraction"
    roles = [operand.role for operand in own.operands]
    if sorted(roles) != sorted(role.value for role in Role):
        raise MappingError(where, "not one input, weight and output", got=", ".join(roles))
    named = {dim for o in own.operands for i in o.indices for dim in i.terms}
    for dim in sorted({*named, *own.reductions} - set(own.dims)):
        raise MappingError(where, "a dimension has no extent", got=dim, need=", ".join(own.dims))
    order = {role.value: number for number, role in enumerate(Role)}
    made = Contraction(
        name=name,
        dims=tuple(own.dims.items()),
        reductions=frozenset(own.reductions),
        operands=tuple(
            Operand(
                slot=operand.slot,
                role=Role(operand.role),
                indices=tuple(index.affine for index in operand.indices),
                bits=operand.bits,
                origin=operand.origin,
            )
            for operand in sorted(own.operands, key=lambda operand: order[operand.role])
        ),
        bias_bits=own.bias_bits,
        row_factor_bits=own.row_factor_bits or 0,
        epilogue=_epilogue(path, own, fused),
    )
    check_contraction(where, made)
    return made


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
