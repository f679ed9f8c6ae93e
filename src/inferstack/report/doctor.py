"""What is installed here, as a table. Renders only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType


def to_table(found: Mapping[str, Any]) -> RenderableType:
    """A row per package; what is missing has the line that installs it."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    memory = found["memory_bytes"]
    machine = f"{found['platform']}, {found['cores']} cores"
    machine += f", {memory / 2**30:.1f} GiB of memory" if memory else ""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("package", "version", "for"):
        table.add_column(name)
    for package, installed in found["packages"].items():
        extra = found["extras"].get(package)
        what = f"extra {extra}" if extra else "core"
        if installed is None:
            what += f": pip install 'inferstack[{extra}]'" if extra else ": install again"
        table.add_row(package, installed or "missing", Text(what))
    head = f"inferstack {found['inferstack_version']}, Python {found['python_version']}\n{machine}"
    return Group(Text(head), table)
