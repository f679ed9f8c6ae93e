"""`Machine`: an accelerator from the library, a YAML file or Python, checked alike."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferstack.api.arguments import name_or_path as checked_name
from inferstack.api.arguments import written
from inferstack.api.shown import Record, Shown
from inferstack.core.errors import AcceleratorError, UnknownNameError
from inferstack.core.files import MARK

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inferstack.hardware.accelerator import Accelerator

SET_HERE = "set-in-python"


class Machine(Shown):
    """A machine. accelerator: as the library sees it."""

    __slots__ = ("_content", "accelerator")

    def __init__(self, content: Mapping[str, Any], accelerator: Accelerator) -> None:
        self._content, self.accelerator = content, accelerator

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Machine:
        """The machine of a description with the keys of a YAML file, `extends` included.

        Raises AcceleratorError naming the key.
        """
        from inferstack.hardware.load import accelerator_of, whole_description

        given: object = content
        if not isinstance(given, Mapping):
            got = repr(given)[:60]
            raise AcceleratorError("machine", "is not a description", got=got, need="a mapping")
        where = Path(f"machine {content.get('name', 'without a name')}")
        whole = whole_description(copy.deepcopy(dict(content)), where)
        return cls(whole, accelerator_of(whole, where))

    @classmethod
    def load(cls, name_or_path: str | Path) -> Machine:
        """A machine of the library, or the one that a YAML file describes."""
        from inferstack.hardware.load import accelerator_of, description_file, read_description

        path = description_file(checked_name("--on", name_or_path))
        content = read_description(path)
        return cls(content, accelerator_of(content, path))

    @property
    def name(self) -> str:
        """Its name."""
        return self.accelerator.name

    def with_(
        self, changes: Mapping[str, Any], *, name: str | None = None, source: str | None = None
    ) -> Machine:
        """This machine with some numbers changed.

        changes: by dotted path as in the YAML: {"array.rows": 32,
        "levels.scratchpad.capacity_bytes": "512 KiB"}. A number without a source gets `source`:
        where it comes from, in words; it is marked as assumed. name: of the new machine. Raises
        AcceleratorError.
        """
        from inferstack.hardware.extends import without_unused_sources

        content: dict[str, Any] = copy.deepcopy(dict(self._content))
        sources = content["sources"]
        key = next(k for n in count(1) if (k := f"{SET_HERE}-{n}") not in sources)
        for path, value in changes.items():
            _set(content, path, value, key, f"machine {self.name}")
        if name is not None:
            content["name"] = name
        sources[key] = {"claim": "assumed", "text": source or "set in Python"}
        return Machine.from_dict(without_unused_sources(content))

    def to_yaml(self) -> str:
        """The whole description as a machine file."""
        import yaml

        text: str = yaml.safe_dump(dict(self._content), sort_keys=False, width=100)
        return f"# {MARK}\n{text}"

    def save(self, path: str | Path) -> Path:
        """Writes the machine file. Raises InputError."""
        return written(path, self.to_yaml())

    def to_dict(self) -> Record:
        """The description, with a source beside each number."""
        return copy.deepcopy(dict(self._content))

    def table(self) -> RenderableType:
        """Its memories and its array, for rich."""
        from inferstack.report.machine import to_table

        return to_table(self.accelerator)

    def records(self) -> list[Record]:
        """A row per memory level, outermost first."""
        from inferstack.report.machine import level_records

        return level_records(self.accelerator)


def machine(name_or_path: str | Path) -> Machine:
    """A machine of the library by name, or the one that a YAML file describes.

    Raises UnknownNameError for a name that does not exist, AcceleratorError for a wrong file.
    """
    return Machine.load(name_or_path)


def import_machine(path: str | Path) -> Machine:
    """The machine of another tool's description: Gemmini's gemmini_params.h.

    Raises AcceleratorError naming what cannot be understood.
    """
    from inferstack.hardware.imports.gemmini_header import machine_of_header

    return Machine.from_dict(machine_of_header(Path(checked_name("FILE", path))))


def machine_of(on: Machine | str | Path) -> Machine:
    """A machine, however it is given."""
    return on if isinstance(on, Machine) else Machine.load(on)


def _set(content: dict[str, Any], path: str, value: Any, source: str, where: str) -> None:
    """Puts a value at a dotted path that exists, or adds a key where its parent does."""
    *parents, last = str(path).split(".")
    place = content
    for key in parents:
        below = place.get(key)
        if not isinstance(below, dict):
            raise UnknownNameError(f"{where}, {path}", "key", key, map(str, place))
        place = below
    old = place.get(last)
    if isinstance(old, dict) != isinstance(value, Mapping) and old is not None:
        need = "a mapping" if isinstance(old, dict) else "a value"
        raise AcceleratorError(f"{where}, {path}", "is another kind of entry", need=need)
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    written_as_pair = isinstance(old, list) and len(old) == 2 and not isinstance(value, list)
    place[last] = [value, source] if written_as_pair or (old is None and numeric) else value
