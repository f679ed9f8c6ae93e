"""Pages are equal for equal runs, fit narrow screens, and follow the reader's colours."""

from __future__ import annotations

import re
from pathlib import Path

import inferstack.report
from inferstack.optimize.result import Optimization
from inferstack.report.html import to_html

CSS = (Path(inferstack.report.__file__).parent / "page.css").read_text(encoding="utf-8")


def markup(text: str) -> str:
    """The page without its scripts."""
    return re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_two_equal_runs_give_equal_bytes(result: Optimization) -> None:
    first = to_html(result)
    assert first == to_html(result)
    names = re.findall(r'id="(figure-[0-9a-f]{16})"', first)
    assert len(names) == len(set(names)) >= 3


def test_whatever_is_wide_scrolls_in_its_own_frame(result: Optimization) -> None:
    """Tables and figures are the only things that do not wrap."""
    page = markup(to_html(result))
    for tag in ("<table", '<div class="figure"'):
        places = [found.start() for found in re.finditer(tag, page)]
        assert places
        assert all(page[:place].endswith('<div class="wide">') for place in places)
    assert re.search(r"\.wide \{[^}]*overflow-x: auto", CSS)
    assert re.search(r"pre \{[^}]*overflow-x: auto", CSS)


def test_colours_follow_the_reader_and_figures_have_no_ground(result: Optimization) -> None:
    assert "color-scheme: light dark" in CSS
    dark = CSS.split("@media (prefers-color-scheme: dark)")[1].split("* {")[0]
    names = set(re.findall(r"(--[a-z]+):", CSS))
    assert names == set(re.findall(r"(--[a-z]+):", dark))
    outside = re.sub(r"--[a-z]+: #[0-9a-f]{6};", "", CSS)
    assert "#" not in outside, "every colour is a name that the dark page changes"
    assert to_html(result).count('"paper_bgcolor":"rgba(0,0,0,0)"') >= 3
