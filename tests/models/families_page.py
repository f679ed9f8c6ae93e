"""The page of families: what each `model_type` can do here, from what the tests hold it to.

`python -m tests.models.families_page` writes docs/reference/families.md; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from inferstack.models.architecture import architectures
from inferstack.models.scenario import Phase

from .referees import REFEREES, SOUNDS, SPEECH, TOWERS, TWO_STACKS, VISION

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "families.md"
HEAD = """# Families

What is read of each `model_type` of a config.json, and what the tests hold it to. *Counts*:
`analyze` and `map` take it. *Values*: a random model of `transformers`, saved by it and read by us,
has equal hidden states, logits, parameters and matmul FLOPs (`tests/models/test_referees.py`,
`test_two_stacks.py`, `test_vision.py`, `test_speech.py`, `test_sounds.py`). *Cache*: decoding
token by token gives the logits of one prompt. *Integers*: `optimize` takes it as int8 with float
operators; integer-only where all its operators have an integer form.
`python -m tests.models.families_page` writes this page; a test compares.

| `model_type` | described in | kind | counts | values | cache | integers |
|---|---|---|---|---|---|---|
"""


def rows() -> Iterator[str]:
    """A row for each type, in the alphabet."""
    everyone = (*REFEREES, *TWO_STACKS, *VISION, *TOWERS, *SOUNDS, SPEECH)
    held = {referee.model_type for referee in everyone}
    sentences = {referee.model_type for referee in REFEREES}
    found = []
    for architecture in architectures().values():
        form = architecture.hugging_face
        if form is None:
            continue
        home = type(architecture).__module__.rpartition(".")[2]
        decodes = Phase.DECODE in architecture.phases
        kind = "decoder" if decodes else "encoder"
        if decodes and Phase.ENCODE in architecture.phases:
            kind = "encoder-decoder"
        elif not architecture.sees_tokens:
            kind = "vision"
        for name in form.model_types:
            values = "yes" if name in held else "no"
            cache = ("yes" if name in held else "no") if decodes else "–"
            integers = "yes" if kind == "encoder" and name in sentences else "no"
            cells = (name, f"`families/{home}.py`", kind, "yes", values, cache, integers)
            found.append(f"| {' | '.join(cells)} |")
    yield from sorted(found)


def page() -> str:
    """The whole page."""
    lines = list(rows())
    return HEAD + "\n".join(lines) + f"\n\n{len(lines)} types.\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
