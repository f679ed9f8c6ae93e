"""What mkdocs does to our pages: help texts come from the commands themselves."""

from __future__ import annotations

import ast
import contextlib
import io
import re
from pathlib import Path
from typing import Any

SLOT = re.compile(r"^<!-- help(?: (?P<verb>[\w-]+))? -->$", re.MULTILINE)
MACHINE = re.compile(r"^<!-- machine (?P<name>[\w-]+) -->$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)]+)\)")
DOCS = Path(__file__).resolve().parent


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Help texts for <!-- help VERB -->, machines for <!-- machine NAME -->, <!-- examples -->.

    A link to a file of the repository that is no page names the file instead.
    """
    if "<!-- verbs -->" in markdown:
        markdown = markdown.replace("<!-- verbs -->", _verbs())
    if "<!-- examples -->" in markdown:
        markdown = markdown.replace("<!-- examples -->", _examples())
    markdown = SLOT.sub(lambda found: _help(found["verb"]), markdown)
    markdown = MACHINE.sub(lambda found: _machine(found["name"]), markdown)
    here = (DOCS / page.file.src_uri).parent

    def named(found: re.Match[str]) -> str:
        target = (here / found[2].partition("#")[0]).resolve()
        if target.is_relative_to(DOCS) or not target.exists():
            return found[0]
        return f"{found[1]} (`{target.relative_to(DOCS.parent)}`)"

    return LINK.sub(named, markdown)


def _verbs() -> str:
    from inferstack.cli.verbs import discover_verbs

    parts = [f"## {v.name}\n\n<!-- help {v.name} -->" for v in discover_verbs()]
    return "\n\n".join(parts)


def _help(verb: str | None) -> str:
    from inferstack.cli.main import main

    words = [*([verb] if verb else []), "--help"]
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert main(words) == 0
    return f"```console\n$ inferstack {' '.join(words)}\n{text.getvalue().strip()}\n```"


def _machine(name: str) -> str:
    from inferstack.hardware.names import LIBRARY

    text = (LIBRARY / f"{name}.yaml").read_text(encoding="utf-8")
    return f"```yaml\n{text.strip()}\n```"


def _examples() -> str:
    parts = []
    for path in sorted((DOCS.parent / "examples").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        title = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        name = path.stem.replace("_", " ").capitalize()
        parts.append(f"## {name}\n\n{title}\n\n```python\n{text.strip()}\n```")
    return "\n\n".join(parts)
