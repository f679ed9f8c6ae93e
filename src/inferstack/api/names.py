"""The names that can be typed: models, machines, objectives. Light: for completion as well."""

from __future__ import annotations


def model_names() -> tuple[str, ...]:
    """The models that `load` knows without a folder."""
    from inferstack.models.architecture import preset_names

    return preset_names()


def machine_names() -> tuple[str, ...]:
    """The machines of the library."""
    from inferstack.hardware.names import library_names

    return library_names()


def objective_names() -> tuple[str, ...]:
    """What a schedule can minimize."""
    from inferstack.cost.figures import OBJECTIVES

    return OBJECTIVES


def method_names() -> tuple[str, ...]:
    """The compression methods."""
    from inferstack.compress.method import methods

    return tuple(sorted(methods()))


def format_names() -> tuple[str, ...]:
    """The formats of other mappers."""
    from inferstack.exchange.format import formats

    return tuple(sorted(formats()))


def convention_names() -> tuple[str, ...]:
    """The counting conventions."""
    from inferstack.analysis.convention import CONVENTIONS

    return tuple(CONVENTIONS)
