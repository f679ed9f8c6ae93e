"""Where a number comes from. Every figure in a description or a report carries its claim."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Claim(StrEnum):
    """How a figure came to be, from the strongest to the weakest."""

    MEASURED = "measured"
    SIMULATED = "simulated"
    MODELLED = "modelled"
    PUBLISHED = "published"
    DERIVED = "derived"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The claim and the place: paper and table, file and commit, or the reasoning."""

    claim: Claim
    text: str
