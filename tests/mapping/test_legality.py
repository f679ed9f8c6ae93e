"""Each rule of a legal mapping at its limit, and one beyond."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inferstack.core.errors import InputError, MappingError, UnknownNameError
from inferstack.mapping import legality
from inferstack.mapping.nest import Loop, Node, Spatial, Store

from .nested import SIZES, WANTED, checked, completed

LEGAL: dict[str, tuple[Node, ...]] = {
    "all of the rows": (Spatial("k", 3, "row"),),
    "all of the columns": (Spatial("n", 4, "column"),),
    "two dimensions that fill the columns": (Spatial("n", 2, "column"), Spatial("m", 2, "column")),
    "one element": (Spatial("n", 1, "column"), Spatial("k", 1, "row")),
    "all instances": (Spatial("m", 2, "x", 4),),
    "instances of different sizes": (Loop("m", 7), Spatial("m", 2, "x", 4)),
    "an instance without work": (Spatial("m", 2, "x", 8),),
    "a rest that fits an instance less": (Loop("m", 5), Spatial("m", 3, "y", 2)),
    "outer instances around inner ones": (Spatial("m", 2, "x", 4), Spatial("m", 2, "y", 2)),
    "two axes of one fan-out": (Spatial("m", 3, "y", 3), Spatial("n", 2, "z", 3)),
    "loops around and inside of instances": (
        Loop("m", 6),
        Spatial("m", 2, "x", 3),
        Loop("m", 2),
        Spatial("m", 2, "y", 1),
    ),
    "steps as large as what is left": (Loop("m", 8), Loop("m", 4), Loop("m", 4)),
    "steps of one": (Loop("m", 1),),
    "a store above the instances": (Store("a", "shared"), Spatial("m", 2, "x", 4)),
    "a store inside of the instances": (Spatial("m", 2, "x", 4), Store("a", "cluster")),
    "a store in the innermost instances": (Spatial("m", 3, "y", 3), Store("a", "own")),
    "stores inwards": (Store("a", "shared"), Store("a", "cluster"), Store("a", "own")),
    "a level left out": (Store("a", "shared"), Store("a", "own")),
    "a store between two fan-outs": (
        Spatial("m", 2, "x", 4),
        Store("b", "cluster"),
        Spatial("n", 2, "z", 3),
    ),
    "instances beside a store that is not theirs": (
        Store("b", "cluster"),
        Spatial("n", 2, "z", 3),
    ),
}


@pytest.mark.parametrize("name", LEGAL)
def test_what_is_just_legal(name: str) -> None:
    nest = checked(*completed(*LEGAL[name]))
    for dim, extent in SIZES.items():
        steps = [step for at, step in nest.loops if list(SIZES)[at] == dim]
        assert (steps or [extent])[-1] <= nest.spatial.get(dim, 1)


def _covers(dim: str, pieces: str, left: int) -> tuple[str, str, str]:
    return (f"the factors do not cover the dimension {dim}", pieces, f"pieces that make up {left}")


ILLEGAL: dict[str, tuple[tuple[Node, ...], tuple[str, object, object]]] = {
    "a row too many": (
        completed(Spatial("k", 4, "row")),
        ("the spatial extent along the row axis is over the array", 4, "at most 3"),
    ),
    "a column too many": (
        completed(Spatial("n", 5, "column")),
        ("the spatial extent along the column axis is over the array", 5, "at most 4"),
    ),
    "two dimensions over the columns": (
        completed(Spatial("n", 3, "column"), Spatial("m", 2, "column")),
        ("the spatial extent along the column axis is over the array", 6, "at most 4"),
    ),
    "an instance too many": (
        completed(Spatial("m", 3, "x", 3)),
        ("the spatial extent along the x axis is over the number of instances", 3, "at most 2"),
    ),
    "an inner instance too many": (
        completed(Spatial("m", 4, "y", 2)),
        ("the spatial extent along the y axis is over the number of instances", 4, "at most 3"),
    ),
    "instances that are filled twice": (
        completed(Spatial("m", 2, "x", 4), Spatial("m", 2, "x", 2)),
        ("the spatial extent along the x axis is over the number of instances", 4, "at most 2"),
    ),
    "no instance": (
        (Spatial("m", 0, "x", 8),),
        ("a spatial extent is not positive", 0, None),
    ),
    "instances of nothing": (
        (Spatial("m", 2, "x", 0),),
        ("a spatial extent is not positive", 0, None),
    ),
    "no row": (
        (Loop("k", 1), Spatial("k", 0, "row")),
        ("a spatial extent is not positive", 0, None),
    ),
    "pieces that leave one element": (
        (Spatial("m", 2, "x", 3),),
        _covers("m", "2 pieces of 3 along x", 8),
    ),
    "pieces that leave one of what is left": (
        (Loop("m", 7), Spatial("m", 2, "x", 3)),
        _covers("m", "2 pieces of 3 along x", 7),
    ),
    "pieces larger than the whole": (
        (Spatial("m", 2, "x", 9),),
        _covers("m", "2 pieces of 9 along x", 8),
    ),
    "a row of two elements": (
        (Loop("n", 1), Loop("m", 1), Loop("k", 1), Spatial("k", 3, "row", 2)),
        ("along the row axis of the array every element has its own place", 2, 1),
    ),
    "a column of two elements": (
        (Loop("n", 1), Loop("m", 1), Loop("k", 1), Spatial("n", 2, "column", 2)),
        ("along the column axis of the array every element has its own place", 2, 1),
    ),
    "a dimension along the wrong side": (
        completed(Spatial("n", 2, "row")),
        ("the dimension n cannot run along the row axis of the array", None, "one of k"),
    ),
    "a dimension along the wrong instances": (
        completed(Spatial("k", 2, "x", 3)),
        ("the dimension k cannot run along the x axis below shared", None, "one of m, n"),
    ),
    "inner instances around outer ones": (
        completed(Spatial("m", 3, "y", 3), Spatial("m", 2, "x", 2)),
        ("the instances below shared stand inside of inner ones", None, None),
    ),
    "a loop inside of the array": (
        (*completed(Spatial("k", 3, "row")), Loop("m", 1)),
        ("a loop is inside a spatial one", "a loop over m", "the spatial nodes last"),
    ),
    "a step of nothing": (
        (Loop("m", 0),),
        (
            "a loop over m does not divide what is left of it into chunks",
            "steps of 0",
            "1 to 8",
        ),
    ),
    "a step over the extent": (
        (Loop("m", 9),),
        (
            "a loop over m does not divide what is left of it into chunks",
            "steps of 9",
            "1 to 8",
        ),
    ),
    "a step over what is left": (
        (Loop("m", 4), Loop("m", 5)),
        (
            "a loop over m does not divide what is left of it into chunks",
            "steps of 5",
            "1 to 4",
        ),
    ),
    "a step over what an instance has": (
        (Spatial("m", 2, "x", 4), Loop("m", 5)),
        (
            "a loop over m does not divide what is left of it into chunks",
            "steps of 5",
            "1 to 4",
        ),
    ),
    "an element that nobody walks": (
        (Loop("m", 1), Loop("n", 2), Loop("k", 1)),
        ("the factors do not cover the dimension n", "2 elements at the innermost node", "1"),
    ),
    "an element beside the array": (
        (Loop("m", 1), Loop("n", 5), Loop("k", 1), Spatial("n", 4, "column")),
        ("the factors do not cover the dimension n", "5 elements at the innermost node", "4"),
    ),
    "a store in DRAM": (
        (Store("a", "dram"),),
        ("dram holds every operand from the start", "a store of a", None),
    ),
    "a store that the level does not hold": (
        (Store("out", "cluster"),),
        (
            "the level cluster does not hold the output",
            "a store of out",
            "one of dram, shared, own",
        ),
    ),
    "a store twice in a level": (
        (Store("a", "cluster"), Store("a", "cluster")),
        ("the stores of a do not go inwards", "cluster inside cluster", None),
    ),
    "a store outwards": (
        (Store("a", "own"), Store("a", "cluster")),
        ("the stores of a do not go inwards", "cluster inside own", None),
    ),
    "a shared store inside of the instances": (
        (Spatial("m", 2, "x", 4), Store("a", "shared")),
        (
            "a store in shared stands inside of the instances below shared",
            "a store of a",
            None,
        ),
    ),
    "a store of a cluster inside of its instances": (
        (Spatial("m", 3, "y", 3), Store("a", "cluster")),
        (
            "a store in cluster stands inside of the instances below cluster",
            "a store of a",
            None,
        ),
    ),
    "instances inside of their own store": (
        (Store("a", "cluster"), Spatial("m", 2, "x", 4)),
        (
            "the instances below shared stand inside of a store of their own",
            "a store of a in cluster above them",
            None,
        ),
    ),
    "instances inside of an inner store of their own": (
        (Store("b", "own"), Spatial("m", 3, "y", 3)),
        (
            "the instances below cluster stand inside of a store of their own",
            "a store of b in own above them",
            None,
        ),
    ),
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_what_is_just_illegal(name: str) -> None:
    nodes, said = ILLEGAL[name]
    with pytest.raises(MappingError) as error:
        checked(*nodes)
    assert error.value.where == "mapping of t"
    assert (error.value.what, error.value.got, error.value.need) == said


@pytest.mark.parametrize(
    ("node", "kind", "known"),
    [
        (Store("c", "own"), "operand", "a, b, out"),
        (Loop("q", 1), "dimension", "k, m, n"),
        (Spatial("q", 1, "row"), "dimension", "k, m, n"),
        (Spatial("k", 1, "w"), "axis name", "column, row, x, y, z"),
    ],
)
def test_names_that_do_not_exist(node: Node, kind: str, known: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown {kind}") as error:
        checked(node)
    assert f"{kind}s known: {known}" in str(error.value)


def test_an_operand_that_is_on_the_chip_is_stored_further_in() -> None:
    a, b, out = WANTED.operands
    wanted = replace(WANTED, operands=(replace(a, origin="cluster"), b, out))
    assert checked(*completed(Store("a", "own")), wanted=wanted).places["a"][0].level == "own"
    for name in ("shared", "cluster"):
        with pytest.raises(InputError, match="comes from cluster; got a store in " + name):
            checked(*completed(Store("a", name)), wanted=wanted)


def test_the_nest_says_where_stores_stand_and_which_loops_are_instances() -> None:
    nest = checked(
        Loop("k", 3),
        Store("a", "shared", True),
        Spatial("m", 2, "x", 4),
        Store("b", "cluster"),
        Loop("n", 4),
        Spatial("m", 2, "y", 2),
        Store("b", "own"),
        Loop("m", 1),
        Spatial("k", 3, "row"),
        Spatial("n", 4, "column"),
    )
    assert nest.loops == ((2, 3), (0, 4), (1, 4), (0, 2), (0, 1))
    assert nest.fans == (None, 0, None, 1, None)
    assert nest.spatial == {"k": 3, "n": 4}
    assert nest.places == {
        "a": (legality.Place(1, "shared", True),),
        "b": (legality.Place(2, "cluster"), legality.Place(4, "own")),
        "out": (),
    }
    assert nest.largest_chunk(3, WANTED) == {"m": 4, "n": 4, "k": 3}
