"""The report: one HTML file that holds everything it shows and opens without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from inferstack.core.provenance import Claim
from inferstack.optimize.result import Decision, Optimization
from inferstack.report import format as shown
from inferstack.report.details import mapping_section, operator_section, source_section
from inferstack.report.page import page, section, write_page


def write_report(result: Optimization, path: Path) -> None:
    """Writes the page to `path`. Raises InputError where that cannot be done."""
    write_page(path, to_html(result), "--report")


def to_html(result: Optimization) -> str:
    """The whole page. A result has at least one decision."""
    from inferstack.report import figures

    sections = (
        section("What each decision gains", _stack_note(result), _cost_table(result)),
        section(
            "Where the time goes",
            "Cycles of one forward pass by kind of work: as shares of each row, and in all.",
            figures.fragment(figures.time_figure(result)),
        ),
        section(
            "Roofline",
            "Each operator with multiply-accumulates (MACs), once per distinct point. A MAC "
            "is two operations. Operators without any (softmax, LayerNorm and the like when they "
            "run alone) have no place on it. The rows between the first and the last are one "
            "click away in the legend.",
            figures.fragment(figures.roofline_figure(result)),
        ),
        section(
            "Predicted against simulated",
            "The mapper's formula against the machine that executes the program: signed error of "
            "each operator, (predicted - simulated) / simulated. The machine never sees the "
            "prediction.",
            figures.fragment(figures.prediction_figure(result)) + _error_table(result),
        ),
        _length_section(result),
        mapping_section(result),
        operator_section(result),
        source_section(result),
        _files_section(result),
    )
    body = f"{_header(result)}{_cards(result)}{''.join(sections)}"
    return page(f"{result.model}: inferstack optimize", body, result.version)


def _header(result: Optimization) -> str:
    machines = list(dict.fromkeys(decision.accelerator for decision in result.decisions))
    return (
        f"<h1>{escape(result.model)}</h1>\n"
        f'<p class="soft">Sequence length {result.seq_len}, on '
        f"{escape(', then '.join(machines))}; calibrated on {result.calibration_samples:,} "
        f"{escape(result.unit)}.</p>\n"
    )


def _cards(result: Optimization) -> str:
    first, last = result.decisions[0], result.decisions[-1]
    best = last.quality.measures[0]
    cards = (
        (shown.gain(first.latency_s, last.latency_s), "faster, last row against first"),
        (shown.gain(first.energy_pj, last.energy_pj), "less energy"),
        (shown.percent(last.array_utilization), "of the array's peak, all cycles counted"),
        (best.text, best.meaning or best.label),
    )
    inner = "".join(
        f'<div class="card"><b>{escape(big)}</b><span>{escape(small)}</span></div>\n'
        for big, small in cards
    )
    return f'<div class="cards">\n{inner}</div>\n{_claims(result)}'


def _claims(result: Optimization) -> str:
    """How each column of the table came to be."""
    cycles = []
    for claim in Claim:
        shares = [_share_of_claim(decision, claim) for decision in result.decisions]
        if any(shares):
            texts = " / ".join(shown.percent(share) for share in shares)
            cycles.append((claim.value, f"for {texts} of the rows' time"))
    pairs = f"; rank correlation over {result.pairs:,} scored pairs" if result.pairs else ""
    tensors = result.decisions[-1].bit_exact_tensors
    rows = (
        ("Cycles, latency", cycles),
        (
            "Energy",
            [
                (
                    "modelled",
                    "counts of operations and bytes times published 45 nm figures, see below",
                )
            ],
        ),
        ("DRAM bytes", [("modelled", "bytes that the schedules move, and the host")]),
        (
            "Accuracy",
            [
                (
                    "measured",
                    f"the model that was really run, over {result.samples:,} {result.unit}{pairs}",
                )
            ],
        ),
        (
            "Bit-exactness",
            [
                (
                    "simulated",
                    f"{tensors:,} tensors of the last row equal the integer reference",
                )
            ]
            if tensors
            else [("", "not checked in the last row")],
        ),
    )
    entries = "".join(
        f"<dt>{escape(name)}</dt><dd>{'<br>'.join(_claim(*item) for item in items)}</dd>\n"
        for name, items in rows
    )
    return f"<section>\n<h2>What the figures rest on</h2>\n<dl>\n{entries}</dl>\n</section>\n"


def _claim(claim: str, text: str) -> str:
    return f'<span class="claim">{escape(claim)}</span> {escape(text)}' if claim else escape(text)


def _share_of_claim(decision: Decision, claim: Claim) -> float:
    return sum(o.cycles for o in decision.operators if o.claim is claim) / decision.cycles


def _stack_note(result: Optimization) -> str:
    return (
        "Each row keeps everything above it. Gains say how many times less. The array column "
        "counts the multiply-accumulates done over those possible in all cycles, host included."
    )


def _cost_table(result: Optimization) -> str:
    heads = ["decision", "cycles", "latency", "energy", "EDP", "DRAM", "array"]
    heads += ["cycles vs above", "cycles vs first", "EDP vs above", "EDP vs first"]
    heads += [measure.label for measure in result.decisions[0].quality.measures]
    rows = []
    above: Decision | None = None
    for number, decision in enumerate(result.decisions, 1):
        first = result.decisions[0]
        cells = [
            shown.quantity(decision.cycles, ""),
            shown.quantity(decision.latency_s, "s"),
            shown.joules(decision.energy_pj),
            shown.energy_delay(decision.edp_pj_s),
            shown.quantity(decision.dram_bytes, "B"),
            shown.percent(decision.array_utilization),
            shown.gain(above.cycles, decision.cycles) if above else "",
            shown.gain(first.cycles, decision.cycles) if above else "",
            shown.gain(above.edp_pj_s, decision.edp_pj_s) if above else "",
            shown.gain(first.edp_pj_s, decision.edp_pj_s) if above else "",
            *(measure.text for measure in decision.quality.measures),
        ]
        name = (
            f"{number}. {escape(decision.name)}<small>{escape(decision.description)}"
            f" On {escape(decision.accelerator)}.</small>"
        )
        last = ' class="last"' if number == len(result.decisions) else ""
        rows.append(f"<tr{last}><td>{name}</td>{_numbers(cells)}</tr>")
        above = decision
    return _table(heads, rows)


def _length_section(result: Optimization) -> str:
    """Cosine by length of the sentences, a row per model and range of lengths, with the figure."""
    from inferstack.report import figures

    models = shown.by_model(result)
    if not any(quality.by_length for _, quality in models):
        return ""
    rows = []
    for name, quality in models:
        for part in quality.by_length:
            cells = [
                shown.tokens(part),
                f"{part.samples:,}",
                f"{part.mean_cosine:.4f}",
                f"{part.worst_cosine:.4f}",
            ]
            rows.append(f"<tr><td>{escape(name)}</td>{_numbers(cells)}</tr>")
    heads = ["first decision with this model", "tokens", "sentences", "cosine mean", "cosine worst"]
    return section(
        "Accuracy by length",
        "Cosine of each sentence's embedding to the float model's, by the sentence's own length in "
        "tokens: dots are means, whiskers go to the worst.",
        figures.fragment(figures.length_figure(result)) + _table(heads, rows),
    )


def _error_table(result: Optimization) -> str:
    rows = []
    for number, decision in enumerate(result.decisions, 1):
        errors = shown.prediction_errors(decision)
        if not errors:
            continue
        mean = sum(abs(error) for error in errors) / len(errors)
        cells = [
            str(len(errors)),
            shown.signed_percent(min(errors)),
            shown.signed_percent(max(errors)),
            shown.percent(mean),
        ]
        rows.append(f"<tr><td>{number}. {escape(decision.name)}</td>{_numbers(cells)}</tr>")
    heads = ["decision", "matmuls", "lowest error", "highest error", "mean size of error"]
    return _table(heads, rows) if rows else ""


def _numbers(cells: Iterable[str]) -> str:
    return "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells)


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    first, *others = heads
    head = f"<th>{escape(first)}</th>" + "".join(
        f'<th class="number">{escape(name)}</th>' for name in others
    )
    body = "\n".join(rows)
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'


def _files_section(result: Optimization) -> str:
    if not result.files:
        return ""
    rows = "".join(
        f"<dt>{escape(what)}</dt><dd><code>{escape(where)}</code></dd>\n"
        for what, where in result.files.items()
    )
    return section("Written beside this report", "", f"<dl>\n{rows}</dl>")
