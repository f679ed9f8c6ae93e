"""Wrong accelerator files: each gives one clear message with the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferstack.core.errors import AcceleratorError, InferStackError, UnknownNameError
from inferstack.hardware.accelerator import Control
from inferstack.hardware.load import load_accelerator
from inferstack.hardware.names import library_names
from inferstack.mapping.shapes import attention_scores, convolution, matmul
from inferstack.ops.registry import rules
from inferstack.ops.rule import CONTRACTION_LOOPS

HEAD = "extends: gemmini\nname: mine\n"


def _message(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InferStackError) as caught:
        load_accelerator(path)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(str(path), "mine.yaml")


def test_a_file_may_extend_the_library_with_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        HEAD + "sources: {me: {claim: assumed, text: a try}}\n"
        "levels: {accumulator: {capacity_bytes: [128 KiB, me]}}\nclock_hz: [1e9, me]\n"
    )
    accelerator = load_accelerator(str(path))
    assert accelerator.level("accumulator").capacity_bytes == 131072
    assert accelerator.clock_hz == 1e9
    assert accelerator.sources["levels.accumulator.capacity_bytes"].text == "a try"
    assert accelerator.array == load_accelerator("gemmini").array


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_accelerator("gemini")
    assert str(caught.value) == (
        "--on: unknown accelerator; got 'gemini'\n\nhint: did you mean 'gemmini'? accelerators "
        f"known: {', '.join(library_names())}"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            HEAD + "levels: {scratchpad: {capacty_bytes: [1, survey]}}",
            (
                "mine.yaml, levels.scratchpad.capacty_bytes: unknown key\n\nhint: did you mean "
                "'capacity_bytes'? keys known here: capacity_bytes, double_buffered, holds, "
                "partial_sum_bits, read_bytes_per_cycle, read_pj_per_byte, shared_port, "
                "write_bytes_per_cycle, write_pj_per_byte"
            ),
        ),
        (
            HEAD + "nmae: x",
            (
                "mine.yaml, nmae: unknown key\n\nhint: did you mean 'name'? keys known "
                "here: extends, "
                "array, clock_hz, control, description, dma, fan_outs, forwards_to, host, levels, "
                "name, sources, "
                "vector_unit"
            ),
        ),
        (
            HEAD + "name: again",
            (
                "mine.yaml, line 3: duplicate key 'name'\n\nhint: keep one of the two; the other "
                "would be ignored"
            ),
        ),
        (
            HEAD + "levels: {scratchpad: {capacity_bytes: [-4096, survey]}}",
            (
                "mine.yaml, levels.scratchpad.capacity_bytes: out of range; got -4096, need more "
                "than 0"
            ),
        ),
        (
            HEAD + "levels: {scratchpad: {capacity_bytes: [256KB, survey]}}",
            (
                "mine.yaml, levels.scratchpad.capacity_bytes: not a capacity; got '256KB', "
                "need bytes"
                "\n\nhint: write an integer number of bytes (262144), or 256 KiB with a space"
            ),
        ),
        (
            HEAD + "levels: {scratchpad: {capacity_bytes: [0.5, survey]}}",
            (
                "mine.yaml, levels.scratchpad.capacity_bytes: not a capacity; got 0.5, need bytes"
                "\n\nhint: write an integer number of bytes (262144), or 256 KiB with a space"
            ),
        ),
        (
            HEAD + "levels: {scratchpad: {capacity_bytes: 4096}}",
            (
                "mine.yaml, levels.scratchpad.capacity_bytes: not a number with its source; "
                "got 4096"
                "\n\nhint: write [value, source], for example [16, gemmini], where `sources` says "
                "what gemmini is"
            ),
        ),
        (
            HEAD + "levels: {dram: {read_bytes_per_cycle: [0, survey]}}",
            "mine.yaml, levels.dram.read_bytes_per_cycle: out of range; got 0, need more than 0",
        ),
        (
            HEAD + "array: {rows: [16, gemini]}",
            (
                "mine.yaml, array.rows: unknown source; got 'gemini'\n\nhint: did you mean "
                "'gemmini'? "
                "`sources` has survey, gemmini, clock, fill, latency, horowitz-mac, horowitz-dram, "
                "horowitz-sram, horowitz-instruction, host-softmax, host-gelu, host-layernorm, "
                "host-add, host-quantization, host-copy, host-pool, host-other"
            ),
        ),
        (
            HEAD + "levels: {accumulator: {holds: [input]}}",
            (
                "mine.yaml, levels: a level is missing: no level on the chip holds the "
                "output; got dram, "
                "scratchpad, accumulator\n\nhint: add output to the `holds` of a level below dram"
            ),
        ),
        (
            HEAD + "array: {row_dims: []}",
            (
                "mine.yaml, array.row_dims: no dimension may run along this axis; need at least "
                "one dimension, for example k"
            ),
        ),
        (
            HEAD + "fan_outs: {scratchpad: {pe: {size: [4, survey], dims: []}}}",
            (
                "mine.yaml, fan_outs.scratchpad.pe.dims: no dimension may run along this axis; "
                "need at least one dimension, for example k"
            ),
        ),
        (
            HEAD + "fan_outs: {scratchpda: {pe: {size: [4, survey], dims: [n]}}}",
            (
                "mine.yaml, fan_outs.scratchpda: unknown level; got 'scratchpda'\n\nhint: did you "
                "mean 'scratchpad'? levels known: accumulator, dram, scratchpad"
            ),
        ),
        (
            HEAD + "fan_outs: {dram: {row: {size: [4, survey], dims: [n]}}}",
            (
                "mine.yaml, fan_outs.dram.row: two axes share a name; got row, need a name other "
                "than column, row"
            ),
        ),
        (
            HEAD + "fan_outs: {dram: {pe: {size: [0, survey], dims: [n]}}}",
            "mine.yaml, fan_outs.dram.pe.size: out of range; got 0, need more than 0",
        ),
        (
            HEAD + "host: {cycles_per_element: {softmx: [3, survey]}}",
            (
                "mine.yaml, host.cycles_per_element: unknown operator kind; got 'softmx'\n\nhint: "
                f"did you mean 'softmax'? operator kinds known: {', '.join(sorted(rules()))}"
            ),
        ),
        (
            (
                "extends: gemmini-ibert\nvector_unit: {kinds: {gleu: {passes: [1, survey], "
                "row_overhead_cycles: [0, survey], energy_pj: [1, survey]}}}"
            ),
            (
                "mine.yaml, vector_unit.kinds: unknown operator kind; got 'gleu'\n\nhint: "
                f"did you mean 'gelu'? operator kinds known: {', '.join(sorted(rules()))}"
            ),
        ),
        (
            HEAD + "levels: null",
            "mine.yaml, levels: wrong kind of value; got None, need a mapping",
        ),
        (
            HEAD + "levels: {dram: {holds: [input]}}",
            (
                "mine.yaml, levels.dram.holds: the outermost level does not hold every "
                "operand; got "
                "input, need input, output, weight"
            ),
        ),
        (
            "extends: gemmni",
            (
                "mine.yaml, extends: unknown accelerator; got 'gemmni'\n\nhint: did you mean "
                f"'gemmini'? accelerators known: {', '.join(library_names())}"
            ),
        ),
        (
            "a: &a [x]\nb: [*a, *a]",
            "mine.yaml, line 1: anchors and aliases are not accepted\n\nhint: write the value out",
        ),
        (
            "name: !!python/object/apply:os.system [true]",
            (
                "mine.yaml, line 1: the tag "
                "'tag:yaml.org,2002:python/object/apply:os.system' is not "
                "accepted\n\nhint: only text, numbers, true, false, null, lists and "
                "mappings are read"
            ),
        ),
        (
            "[" * 5000,
            "mine.yaml, line 1: nested deeper than 16 levels\n\nhint: flatten the file",
        ),
        (
            b"name: \xff",
            "mine.yaml: not UTF-8 text (byte 6)\n\nhint: save the file with the encoding UTF-8",
        ),
        (
            "- 1\n- 2",
            "mine.yaml: not an accelerator description; got [1, 2], need a mapping",
        ),
        ("", "mine.yaml: not an accelerator description; got None, need a mapping"),
        ("name: [1", "mine.yaml, line 1: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("name: mine", "mine.yaml, description: missing"),
        ("? [a]\n: b", "mine.yaml, line 1: a key is not text\n\nhint: use plain text as key"),
    ],
)
def test_the_message_of_each_mistake(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert _message(tmp_path, text) == expected


def test_a_bomb_of_nested_aliases_is_refused_at_its_first_anchor(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "line 1: anchors and aliases are not accepted" in _message(tmp_path, "\n".join(lines))


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    message = _message(tmp_path, "#" * (1024 * 1024 + 1))
    assert message == "mine.yaml: too large; got 1,048,577 bytes, need at most 1,048,576"


def test_a_number_too_long_is_refused(tmp_path: Path) -> None:
    assert "is too long" in _message(tmp_path, HEAD + "clock_hz: [" + "9" * 9000 + ", survey]")


@pytest.mark.parametrize("value", [".inf", ".nan", "1e999", "yes", "true"])
def test_what_is_no_finite_number_is_refused(tmp_path: Path, value: str) -> None:
    message = _message(tmp_path, HEAD + f"clock_hz: [{value}, survey]")
    assert message.startswith("mine.yaml, clock_hz: ")


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(AcceleratorError, match="does not exist\n\nhint: give the path of a YAML"):
        load_accelerator(tmp_path / "none.yaml")
    with pytest.raises(AcceleratorError, match="is not a file"):
        load_accelerator(tmp_path)


def test_one_level_alone_is_not_enough(tmp_path: Path) -> None:
    own = (Path(load_accelerator.__code__.co_filename).parent / "library/gemmini.yaml").read_text()
    start, end = own.index("  scratchpad:"), own.index("array:\n")
    message = _message(tmp_path, own[:start] + own[end:])
    assert message == (
        "mine.yaml, levels: a level is missing; got 1 level(s), need the outermost memory and at "
        "least one on the chip"
    )


def test_a_dataflow_without_meaning_is_refused(tmp_path: Path) -> None:
    assert _message(tmp_path, HEAD + "array: {dataflow: weight_stationary}") == (
        "mine.yaml, array.dataflow: unknown dataflow; got 'weight_stationary'\n\nhint: did you "
        "mean 'weight stationary'? dataflows known: input stationary, output stationary, row "
        "stationary, weight stationary"
    )


def test_the_level_that_feeds_the_units_is_said_and_checked(tmp_path: Path) -> None:
    """Eyeriss's rows meet in its global buffer: 48 bytes of sums in an element hold no row."""
    assert load_accelerator("eyeriss").unit_level.name == "global_buffer"
    assert load_accelerator("gemmini-ibert").unit_level.name == "accumulator"
    head = "extends: eyeriss\nname: mine\nvector_unit: {level: "
    assert _message(tmp_path, head + "global_bufer}").startswith(
        "mine.yaml, vector_unit.level: unknown level; got 'global_bufer'\n\nhint: did you mean"
    )
    assert _message(tmp_path, head + "filters}") == (
        "mine.yaml, vector_unit.level: holds no outputs; got filters, "
        "need one of dram, global_buffer, sums"
    )


def test_a_machine_that_runs_programs_moves_by_an_engine(tmp_path: Path) -> None:
    assert load_accelerator("gemmini-ibert").control is Control.PROGRAMS
    message = _message(tmp_path, "extends: peers-target\nname: mine\ncontrol: programs\n")
    assert message.startswith("mine.yaml, dma: missing: a machine that runs programs")


def test_dimensions_along_axes_are_loops_of_operators(tmp_path: Path) -> None:
    made = (
        matmul(m=2, n=2, k=2),
        attention_scores(heads=2, kv_heads=1, m=2, n=2, k=2),
        convolution(n=2, c=2, p=2, q=2, r=2, s=2),
    )
    assert {name for one in made for name, _ in one.dims} == set(CONTRACTION_LOOPS)
    assert _message(tmp_path, HEAD + "array: {row_dims: [kk]}").startswith(
        "mine.yaml, array.row_dims: unknown dimension; got 'kk'\n\nhint: did you mean 'k'?"
    )
    assert _message(tmp_path, HEAD + "array: {row_dims: [k, k]}") == (
        "mine.yaml, array.row_dims: a dimension stands there twice; got k"
    )


def test_partial_sums_have_widths_of_whole_bytes(tmp_path: Path) -> None:
    assert _message(tmp_path, HEAD + "levels: {dram: {partial_sum_bits: [7, survey]}}") == (
        "mine.yaml, levels.dram.partial_sum_bits: no width of a partial sum, which lies in memory "
        "as whole bytes; got 7, need one of 8, 16, 24, 32, 40, 48, 64"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "control: program",
            (
                "mine.yaml, control: no such choice; got 'program', need one of programs, "
                "sequencer\n\nhint: did you mean 'programs'?"
            ),
        ),
        (
            "levels: {scratchpad: {holds: [inputs]}}",
            (
                "mine.yaml, levels.scratchpad.holds.0: no such choice; got 'inputs', need one of "
                "input, weight, output\n\nhint: did you mean 'input'?"
            ),
        ),
    ],
)
def test_a_choice_that_does_not_exist_has_a_suggestion(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert _message(tmp_path, HEAD + text) == expected


NEW_LEVEL = (
    "inside: dram, capacity_bytes: [1 MiB, me], holds: [input, weight, output], "
    "read_bytes_per_cycle: [16, me], write_bytes_per_cycle: [16, me], shared_port: true, "
    "double_buffered: false, read_pj_per_byte: [20, me], write_pj_per_byte: [20, me], "
    "partial_sum_bits: [32, me]"
)
OURS = "extends: peers-target\nname: mine\nsources: {me: {claim: assumed, text: a try}}\n"


def _levels(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return [level.name for level in load_accelerator(path).levels]


def test_a_new_level_stands_inside_of_the_one_that_it_names(tmp_path: Path) -> None:
    base = [level.name for level in load_accelerator("peers-target").levels]
    assert base[:2] == ["dram", "scratchpad"]
    one = OURS + f"levels:\n  shared: {{{NEW_LEVEL}}}\n"
    assert _levels(tmp_path, one) == ["dram", "shared", *base[1:]]
    two = one + f"  second: {{{NEW_LEVEL.replace('dram', 'shared')}}}\n"
    assert _levels(tmp_path, two) == ["dram", "shared", "second", *base[1:]]
    inner = one.replace("inside: dram", f"inside: {base[-1]}")
    assert _levels(tmp_path, inner) == [*base, "shared"]


def test_a_folder_with_a_comma_holds_machines_like_any_other(tmp_path: Path) -> None:
    folder = tmp_path / "a,b"
    folder.mkdir()
    names = _levels(folder, OURS + f"levels:\n  shared: {{{NEW_LEVEL}}}\n")
    assert names[:2] == ["dram", "shared"]
    wrong = _message(folder, OURS + "levels: {shared: {inside: dramm}}\n")
    assert wrong.startswith("mine.yaml, levels.shared.inside: is no level; got 'dramm'")


def test_a_level_is_removed(tmp_path: Path) -> None:
    levels = f"levels:\n  scratchpad: {{remove: true}}\n  shared: {{{NEW_LEVEL}}}\n"
    text = f"{OURS}forwards_to: [shared]\n{levels}"
    assert _levels(tmp_path, text) == ["dram", "shared", "accumulator"]
    part = "extends: gemmini-ibert\nname: mine\nvector_unit: {remove: true}\n"
    path = tmp_path / "mine.yaml"
    path.write_text(part, encoding="utf-8")
    assert load_accelerator(path).vector_unit is None


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (
            "{scratchpd: {double_buffered: true}}",
            (
                "levels.scratchpd: is no level of the machine; got 'scratchpd'\n\nhint: did you "
                "mean 'scratchpad'; there are dram, scratchpad, accumulator; a new level says "
                "where it stands: `inside: accumulator`"
            ),
        ),
        (
            "{shared: {inside: dramm}}",
            "levels.shared.inside: is no level; got 'dramm'\n\nhint: did you mean 'dram'",
        ),
        (
            "{scratchpad: {inside: dram}}",
            "levels.scratchpad.inside: says where a new level stands, and this is none",
        ),
        ("{scratch: {remove: true}}", "levels.scratch: has nothing to remove; got 'scratch'"),
        ("{scratchpad: {remove: false}}", "levels.scratchpad.remove: stands by itself, and is"),
        ("{scratchpad: {remove: true, holds: [input]}}", "levels.scratchpad.remove: stands by"),
        ("{scratchpad: {remove: true}}", "levels: a level is missing: no level on the chip"),
    ],
)
def test_levels_that_cannot_be_placed_or_removed_are_said(
    tmp_path: Path, levels: str, expected: str
) -> None:
    text = "extends: peers-target\nname: mine\nforwards_to: []\n"
    text += f"levels: {levels}\n"
    assert _message(tmp_path, text).replace("?;", ";").startswith(f"mine.yaml, {expected}")


def test_a_source_that_no_number_names_is_refused(tmp_path: Path) -> None:
    head = HEAD + "sources: {me: {claim: assumed, text: a try}, mee: {claim: assumed, text: b}}\n"
    assert _message(tmp_path, head + "clock_hz: [1e9, me]") == (
        "mine.yaml, sources.mee: is the source of no number\n\nhint: write [value, mee] where it "
        "is, or take it out"
    )


def test_a_sequencer_computes_on_units_that_are_like_its_own() -> None:
    """A softcap on the unit for tanh; programs have instructions for kinds that are named alone."""
    peers, gemmini = load_accelerator("peers-target"), load_accelerator("gemmini-ibert")
    assert peers.vector_unit is not None
    assert peers.vector_unit.passes["softcap"] == peers.vector_unit.passes["tanh"]
    assert peers.sources["vector_unit.kinds.softcap.passes"].text
    assert not gemmini.supports("softcap")
