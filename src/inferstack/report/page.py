"""The frame of an HTML page: one file with its style and plotly.js, that needs no network."""

from __future__ import annotations

from html import escape
from pathlib import Path

from inferstack.core.errors import InputError
from inferstack.core.files import write_atomically
from inferstack.report.path import check_report_path


def page(title: str, body: str, version: str) -> str:
    """A whole page around `body`, which may hold figures of plotly. title, version: plain text."""
    from inferstack.report.figures import plotly_script

    css = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{css}</style>\n"
        f"<script>{plotly_script()}</script>\n</head>\n<body>\n<main>\n"
        f"{body}<footer>inferstack {escape(version)}</footer>\n</main>\n</body>\n</html>\n"
    )


def section(title: str, note: str, body: str) -> str:
    """A part of a page. title, note: plain text; body: HTML."""
    text = f'<p class="soft">{escape(note)}</p>' if note else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{text}\n{body}\n</section>\n"


def write_page(path: Path, text: str, flag: str) -> None:
    """Writes a page. Raises InputError, naming the flag, where that cannot be done."""
    check_report_path(path, flag)
    try:
        write_atomically(path, text)
    except OSError as failure:
        raise InputError(f"{flag} {path}", f"cannot be written: {failure.strerror}") from None
