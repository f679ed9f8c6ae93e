"""Fused groups as YAML files: the kernels, the tile that they share, the nest of each contraction.

group: [layer0.scores, layer0.softmax, layer0.context]
accelerator: peers-target
tile: {rows: 128, by_head: true}
level: scratchpad
pinned: [layer0.key]
outputs: [layer0.context]
shapes: {layer0.scores: [1, 12, 512, 512], ...}
kernels: [...]
chunks: [{contraction: {...}, nest: [...]}]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from inferstack.core.errors import MappingError
from inferstack.core.yaml import read_yaml
from inferstack.ir.graph import Work
from inferstack.mapping.file_checks import check_kernels
from inferstack.mapping.group import GroupMapping, Tile
from inferstack.mapping.kernels import Kernel, KernelGraph, Port
from inferstack.mapping.mapping_file import (
    ContractionFile,
    Extent,
    IndexFile,
    NestFile,
    Strict,
    Word,
    contraction_content,
    contraction_of,
    explained,
    index_content,
    node_content,
    nodes_of,
    yaml_text,
)
from inferstack.ops.rule import Access, IterationSpace


class _TileFile(Strict):
    rows: Extent | None = None
    by_head: bool
    columns: Extent | None = None


class _PortFile(Strict):
    slot: Word
    tensor: Word
    bits: Annotated[int, Field(gt=0, le=64)]
    indices: Annotated[list[IndexFile], Field(max_length=16)]


class _KernelFile(Strict):
    name: Word
    kind: Word
    work: Word
    part: Word
    repeats: Extent
    dims: Annotated[dict[Word, Extent], Field(max_length=16)]
    reductions: list[Word] = Field(default_factory=list)
    macs_per_point: Annotated[int, Field(ge=0, le=1)] = 0
    flops_per_point: Annotated[int, Field(ge=0, le=10**6)] = 0
    contraction: ContractionFile | None = None
    reads: Annotated[list[_PortFile], Field(max_length=16)]
    writes: _PortFile
    small_bytes: Annotated[int, Field(ge=0, le=2**50)] = 0
    rescaled: list[Word] = Field(default_factory=list)


class _ChunkFile(Strict):
    contraction: ContractionFile
    nest: NestFile


class _GroupFile(Strict):
    group: Annotated[list[Word], Field(min_length=1, max_length=256)]
    accelerator: Word
    tile: _TileFile
    level: Word
    pinned: list[Word] = Field(default_factory=list)
    outputs: list[Word]
    shapes: Annotated[dict[Word, list[Extent]], Field(max_length=4096)]
    kernels: Annotated[list[_KernelFile], Field(min_length=1, max_length=256)]
    chunks: Annotated[list[_ChunkFile], Field(max_length=1024)]


def is_group(content: object) -> bool:
    """Whether what a YAML file holds is a group, not the mapping of one operator."""
    return isinstance(content, dict) and "group" in content


def group_text(group: GroupMapping, graph: KernelGraph) -> str:
    """The content of a file. graph: the whole one; what lies outside of the group is left out."""
    kernels = [kernel for kernel in graph.kernels if kernel.name in group.kernels]
    names = {kernel.name for kernel in kernels}
    own = {port.tensor for kernel in kernels for port in (*kernel.reads, kernel.writes)}
    leaving = [
        kernel.writes.tensor
        for kernel in kernels
        if kernel.writes.tensor in graph.outputs
        or any(graph.kernels[n].name not in names for n in graph.readers(kernel.writes.tensor))
    ]
    tile = {"rows": group.tile.rows, "by_head": group.tile.by_head, "columns": group.tile.columns}
    content: dict[str, Any] = {
        "group": list(group.kernels),
        "accelerator": group.accelerator,
        "tile": {name: value for name, value in tile.items() if value is not None},
        "level": group.level,
        **({"pinned": list(group.pinned)} if group.pinned else {}),
        "outputs": leaving,
        "shapes": {name: list(graph.shapes[name]) for name in sorted(own)},
        "kernels": [_kernel_content(kernel) for kernel in kernels],
        "chunks": [
            {
                "contraction": contraction_content(chunk),
                "nest": [node_content(node) for node in mapping.nodes],
            }
            for chunk, mapping in group.nests
        ],
    }
    return yaml_text(content)


def _kernel_content(kernel: Kernel) -> dict[str, Any]:
    space = kernel.space
    content: dict[str, Any] = {
        "name": kernel.name,
        "kind": kernel.kind,
        "work": kernel.work.value,
        "part": kernel.part,
        "repeats": kernel.repeats,
        "dims": dict(space.dims),
        "reads": [_port_content(port) for port in kernel.reads],
        "writes": _port_content(kernel.writes),
    }
    if space.reductions:
        content["reductions"] = sorted(space.reductions)
    if kernel.contraction is not None:
        content["contraction"] = contraction_content(kernel.contraction)
    for name in ("macs_per_point", "flops_per_point"):
        if getattr(space, name):
            content[name] = getattr(space, name)
    if kernel.small_bytes:
        content["small_bytes"] = kernel.small_bytes
    if kernel.rescaled:
        content["rescaled"] = sorted(kernel.rescaled)
    return content


def _port_content(port: Port) -> dict[str, Any]:
    indices = [index_content(index) for index in port.access.indices]
    return {"slot": port.slot, "tensor": port.tensor, "bits": port.bits, "indices": indices}


def load_group(path: Path) -> tuple[GroupMapping, KernelGraph]:
    """The group of a file, and its kernels as a graph. Raises MappingError.

    Whether it makes sense and fits, `cost.groups.scored` says.
    """
    content = read_yaml(path, MappingError)
    try:
        file = _GroupFile.model_validate(content)
    except ValidationError as failure:
        raise explained(path, _GroupFile, failure) from None
    if [kernel.name for kernel in file.kernels] != file.group:
        raise MappingError(
            f"{path}, kernels", "are not those of the group",
            got=", ".join(kernel.name for kernel in file.kernels), need=", ".join(file.group),
        )  # fmt: skip
    kernels = tuple(_kernel(path, number, one) for number, one in enumerate(file.kernels))
    for kernel in kernels:
        for port in (*kernel.reads, kernel.writes):
            if port.tensor not in file.shapes:
                raise MappingError(f"{path}, shapes", "a tensor has no shape", got=port.tensor)
    shapes = {name: tuple(shape) for name, shape in file.shapes.items()}
    check_kernels(f"{path}", kernels, shapes)
    nests = []
    for number, chunk in enumerate(file.chunks):
        where = f"{path}, chunks.{number}"
        wanted = contraction_of(where, f"chunk {number}", chunk.contraction, ())
        nests.append((wanted, nodes_of(where, wanted, file.accelerator, chunk.nest)))
    group = GroupMapping(
        accelerator=file.accelerator,
        kernels=tuple(file.group),
        tile=Tile(rows=file.tile.rows, by_head=file.tile.by_head, columns=file.tile.columns),
        level=file.level,
        pinned=tuple(file.pinned),
        nests=tuple(nests),
    )
    graph = KernelGraph(
        name=" + ".join(file.group),
        kernels=kernels,
        shapes=shapes,
        outputs=frozenset(file.outputs),
    )
    return group, graph


def _kernel(path: Path, number: int, file: _KernelFile) -> Kernel:
    where = f"{path}, kernels.{number}"
    if file.work not in {work.value for work in Work}:
        raise MappingError(
            f"{where}.work", "no kind of work", got=file.work,
            need=", ".join(work.value for work in Work),
        )  # fmt: skip
    ports = [_port(port) for port in file.reads]
    writes = _port(file.writes)
    for port in (*ports, writes):
        for dim in sorted(port.access.dims - set(file.dims)):
            raise MappingError(f"{where}.dims", "a dimension has no extent", got=dim)
    wanted = file.contraction
    return Kernel(
        name=file.name,
        kind=file.kind,
        work=Work(file.work),
        part=file.part,
        repeats=file.repeats,
        space=IterationSpace(
            dims=tuple(file.dims.items()),
            accesses=tuple(port.access for port in (*ports, writes)),
            reductions=frozenset(file.reductions),
            macs_per_point=file.macs_per_point,
            flops_per_point=file.flops_per_point,
        ),
        contraction=None if wanted is None else contraction_of(where, file.name, wanted, ()),
        reads=tuple(ports),
        writes=writes,
        small_bytes=file.small_bytes,
        integer=True,
        rescaled=frozenset(file.rescaled),
    )


def _port(file: _PortFile) -> Port:
    access = Access(slot=file.slot, indices=tuple(index.affine for index in file.indices))
    return Port(slot=file.slot, tensor=file.tensor, access=access, bits=file.bits)
