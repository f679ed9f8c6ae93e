"""Mutants that no test can tell from the code: (path, line of code, change) and the reason."""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "ops/distinct.py",
        "if least >= 0 and most < size:",
        "0 -> 1",
    ): "a short cut: the general formula gives the same where the least value is 0",
    (
        "ops/distinct.py",
        "least = offset + sum(c * (extent - 1) for c, extent in terms if c < 0)",
        "0 -> 1",
    ): "a coefficient of 0 adds nothing",
    (
        "ops/spread_batch.py",
        'return max(rows // 2 - like[1], 0) if attributes.get("near", False) else 0',
        "attributes.get(\"near\", False) -> (attributes.get('near'))",
    ): "None is as false as False",
    (
        "cost/programs/steps.py",
        "trips, last = np.empty(3, dtype=np.int64), np.empty(3, dtype=np.int64)",
        "np.empty(3, dtype=np.int64) -> (np.empty(3))",
    ): "trips and sizes are the same whole numbers in floating point",
    (
        "schedule/nests/forms.py",
        "stored: bool = False",
        "False -> True",
    ): "the array's steps alone leave it out, and nothing asks it of them",
}
