"""Imports go one way: a room of the library uses only the rooms above it."""

import pytest

from tests.build_files import targets

# The order of docs/architecture.md, top first.
ROOMS = (
    "",
    "architecture",
    "layers",
    "tasks",
    "data",
    "models",
    "metrics",
    "training",
    "distillation",
    "search",
    "inference",
    "export",
    "compression",
    "reporting",
    "pipeline",
)
LIBRARY = "tf_efficientbert"
TARGETS = targets()


def _rank(label: str) -> int | None:
    """The room's place in the order; None for what is no room of the library."""
    package, _, name = label.removeprefix("//").partition(":")
    top, _, room = package.partition("/")
    if top != LIBRARY or (not room and name == "__init__"):  # the library's face
        return None
    return ROOMS.index(room.split("/")[0])


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_rooms_above_it(room):
    upward = [
        f"{label} imports {dep}"
        for label, target in TARGETS.items()
        for dep in target.deps
        if _rank(label) == ROOMS.index(room)
        and (not dep.startswith(f"//{LIBRARY}") or _rank(dep) is None or _rank(dep) > _rank(label))
    ]
    assert not upward


def test_every_room_has_files():
    assert {_rank(label) for label in TARGETS} >= set(range(len(ROOMS)))
