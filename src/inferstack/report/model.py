"""A model by its sizes. Renders only."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from inferstack.analysis.workload import Model

if TYPE_CHECKING:
    from rich.console import RenderableType


def to_table(model: Model) -> RenderableType:
    """A row per size."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    content = to_json(model)
    where = f", {content['folder']}" if content["folder"] else ""
    title = f"{content['name']}: {', '.join(content['tasks'])}{where}"
    table = Table(
        title=Text(title), title_justify="left", box=box.SIMPLE, pad_edge=False, show_header=False
    )
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    for name, value in content["sizes"].items():
        shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
        table.add_row(name, Text(str(shown)))
    return table


def to_json(model: Model) -> dict[str, Any]:
    """The model as plain data."""
    config = model.config
    sizes = getattr(config, "sizes", None)
    if sizes is None:
        sizes = asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}
    return {
        "name": model.name,
        "tasks": [task.value for task in model.tasks],
        "folder": None if model.folder is None else str(model.folder),
        "sizes": {name: _plain(value) for name, value in sizes.items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
