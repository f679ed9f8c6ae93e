"""The parts of the report that unfold: loop nests with certificates, operators, sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from inferstack.core.provenance import Source
from inferstack.optimize.result import Decision, OperatorResult, Optimization
from inferstack.report import format as shown

_NAMES_SHOWN = 4


@dataclass(slots=True)
class _Schedule:
    """Operators that run alike: same kind, same loop nest, same cycles."""

    first: OperatorResult
    names: list[str] = field(default_factory=list)


def mapping_section(result: Optimization) -> str:
    """The loop nest and the certificate of each distinct schedule, by decision; closed at first."""
    blocks = []
    for number, decision in enumerate(result.decisions, 1):
        schedules = _schedules(decision)
        if not schedules:
            continue
        inner = "".join(_schedule(schedule) for schedule in schedules)
        blocks.append(
            f"<details><summary>{number}. {escape(decision.name)} "
            f'<span class="soft">{len(schedules)} distinct schedules</span></summary>\n'
            f"{inner}</details>\n"
        )
    if not blocks:
        return ""
    return (
        "<section>\n<h2>Schedules</h2>\n"
        '<p class="soft">The loop nest of each operator, outermost loop first, and the certificate '
        "of the search where there was one.</p>\n"
        f"{''.join(blocks)}</section>\n"
    )


def _schedules(decision: Decision) -> list[_Schedule]:
    found: dict[tuple[object, ...], _Schedule] = {}
    for operator in decision.operators:
        if operator.mapping is None:
            continue
        nest, certificate = operator.mapping, operator.certificate or ""
        for name in (operator.name, *operator.fused):
            nest, certificate = nest.replace(name, ""), certificate.replace(name, "")
        key = (operator.kind, nest, certificate, operator.cycles)
        found.setdefault(key, _Schedule(operator)).names.append(operator.name)
    return list(found.values())


def _schedule(schedule: _Schedule) -> str:
    operator = schedule.first
    fused = f" + {', '.join(operator.fused)}" if operator.fused else ""
    times = f", {len(schedule.names)} times" if len(schedule.names) > 1 else ""
    facts = f"{operator.kind}{times}, {operator.cycles:,} cycles each"
    error = operator.prediction_error
    if error is not None:
        facts += f", predicted {shown.signed_percent(error)}"
    names = ""
    if len(schedule.names) > 1:
        others = schedule.names[:_NAMES_SHOWN]
        more = len(schedule.names) - len(others)
        listed = ", ".join(others) + (f" and {more} more" if more else "")
        names = f'<p class="soft">The same for {escape(listed)}.</p>\n'
    certificate = f"<pre>{escape(operator.certificate)}</pre>\n" if operator.certificate else ""
    return (
        f"<details><summary>{escape(operator.name + fused)} "
        f'<span class="soft">{escape(facts)}</span></summary>\n{names}'
        f"<pre>{escape(operator.mapping or '')}</pre>\n{certificate}</details>\n"
    )


def operator_section(result: Optimization) -> str:
    """Every operator of every decision as it ran; closed at first."""
    blocks = []
    for number, decision in enumerate(result.decisions, 1):
        rows = "\n".join(_operator_row(operator, decision) for operator in decision.operators)
        heads = ("kind", "unit", "cycles", "of row", "predicted", "energy", "DRAM", "vs compulsory")
        head = "<th>operator</th>" + "".join(
            f"<th{'' if name in ('kind', 'unit') else _NUMBER}>{name}</th>" for name in heads
        )
        blocks.append(
            f"<details><summary>{number}. {escape(decision.name)} "
            f'<span class="soft">{len(decision.operators)} operators</span></summary>\n'
            f'<div class="wide"><table>\n<tr>{head}</tr>\n{rows}\n</table></div></details>\n'
        )
    return (
        "<section>\n<h2>Operators</h2>\n"
        '<p class="soft">As they ran, in execution order. Compulsory DRAM traffic reads every '
        "operand once and writes the result once.</p>\n"
        f"{''.join(blocks)}</section>\n"
    )


_NUMBER = ' class="number"'


def _operator_row(operator: OperatorResult, decision: Decision) -> str:
    error = operator.prediction_error
    fused = f"<small>+ {escape(', '.join(operator.fused))}</small>" if operator.fused else ""
    compulsory = operator.compulsory_dram_bytes
    numbers = (
        f"{operator.cycles:,}",
        shown.percent(operator.cycles / decision.cycles),
        "–" if error is None else shown.signed_percent(error),
        shown.joules(operator.energy_pj),
        shown.quantity(operator.dram_bytes, "B"),
        f"{operator.dram_bytes / compulsory:.2f}×" if compulsory else "–",
    )
    cells = "".join(f"<td{_NUMBER}>{escape(number)}</td>" for number in numbers)
    unit = f'{escape(operator.unit)} <span class="claim">{escape(operator.claim.value)}</span>'
    return (
        f"<tr><td>{escape(operator.name)}{fused}</td><td>{escape(operator.kind)}</td>"
        f"<td>{unit}</td>{cells}</tr>"
    )


def source_section(result: Optimization) -> str:
    """What each number of each accelerator rests on; numbers of one source stand together."""
    blocks = []
    for name, entries in result.sources.items():
        groups: dict[Source, list[str]] = {}
        for path, source in entries.items():
            groups.setdefault(source, []).append(path)
        rows = "\n".join(
            f'<tr><td><span class="claim">{escape(source.claim.value)}</span></td>'
            f"<td>{escape(source.text)}<small>{escape(', '.join(paths))}</small></td></tr>"
            for source, paths in groups.items()
        )
        blocks.append(
            f'<details><summary>{escape(name)} <span class="soft">{len(entries)} numbers, '
            f"{len(groups)} sources</span></summary>\n"
            f'<div class="wide"><table>\n{rows}\n</table></div></details>\n'
        )
    if not blocks:
        return ""
    return (
        "<section>\n<h2>Sources</h2>\n"
        '<p class="soft">Every number of the accelerators, with where it comes from.</p>\n'
        f"{''.join(blocks)}</section>\n"
    )
