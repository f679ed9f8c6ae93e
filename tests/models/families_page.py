"""The page of families: what each `model_type` can do here, found by trying.

`python -m tests.models.families_page` writes docs/reference/families.md; a test tries each row.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from inferstack.core.plugins import discover
from inferstack.models import families
from inferstack.models.architecture import architectures
from inferstack.models.text_part import OUTER

from .abilities import NEAR, tried
from .referees import INSIDE, REFEREES, SOUNDS, SPEECH, TOWERS, TWO_STACKS, VISION, Referee, saved

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "families.md"
HELD = (*REFEREES, *INSIDE, *TWO_STACKS, *VISION, *TOWERS, *SOUNDS, SPEECH)
"""Each of these is held against its class in transformers by a test of `tests/models`."""
HEAD = f"""# Families

What is read of each `model_type` of a config.json, and what it can do today. `python -m
tests.models.families_page` makes a small random model of `transformers` for each, tries all of it
and writes this page; `tests/models/test_families_page.py` tries each row again.

- *Counts*: `analyze` takes it, in every phase.
- *Values*: our reading of the folder that `transformers` saved has its hidden states, logits or
  vectors to 1e-4, its parameters and, to the digit, its matmul FLOPs, of steps too (`tests/models`,
  `test_referees.py`, `test_two_stacks.py`, `test_vision.py`, `test_sounds.py`, `test_speech.py`).
- *Writes*: prepared for generation, it has the logits of the whole text, token by token.
- *int8*: matmuls in int8 between operators in floating point. *Integers*: all of it, but for the
  kinds that are named, which run on the host. "no" names the
  kind of operator that stands in the way; "far off": it runs, and a cosine of its outputs is below
  {NEAR} (on random weights, a small error sends tokens to other experts).

Models that hold a decoder of text beside what sees are read as the text alone; `analyze` says so.

| `model_type` | described in | kind | counts | values | writes | int8 | integers |
|---|---|---|---|---|---|---|---|
"""


def homes() -> dict[str, str]:
    """The file that describes each `model_type`."""
    found = dict.fromkeys(OUTER, "text_part.py")
    inside = discover(families, "ARCHITECTURE")
    for name, architecture in architectures().items():
        if architecture.hugging_face is not None:
            place = f"families/{name}.py" if name in inside else f"{name}.py"
            found |= dict.fromkeys(architecture.hugging_face.model_types, place)
    return found


def first_referees() -> dict[str, Referee]:
    """The first model of each type, in the alphabet."""
    found = {referee.model_type: referee for referee in reversed(HELD)}
    return dict(sorted(found.items()))


def row(referee: Referee, folder: Path) -> str:
    """What its type can do. folder: where its model stands."""
    name, can = referee.model_type, tried(folder)
    compressed = (can.compressed["int8-float"], can.compressed["integer-only"])
    cells = (name, f"`{homes()[name]}`", can.kind, can.counts, "yes", can.generation, *compressed)
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """The whole page, all of it tried."""
    lines = []
    for referee in first_referees().values():
        with tempfile.TemporaryDirectory() as folder:
            saved(referee, Path(folder))
            lines.append(row(referee, Path(folder)))
    return HEAD + "\n".join(lines) + f"\n\n{len(lines)} types.\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
