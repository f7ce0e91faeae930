"""A package of the library imports only from the packages above it."""

import pytest

from tests.build_files import targets

# The order of docs/architecture.md, top first.
PACKAGES = (
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
    """Returns the package's index in `PACKAGES`; None outside the library."""
    package, _, name = label.removeprefix("//").partition(":")
    top, _, inner = package.partition("/")
    if top != LIBRARY or (not inner and name == "__init__"):  # the library's public interface
        return None
    return PACKAGES.index(inner.split("/")[0])


@pytest.mark.parametrize("layer", PACKAGES)
def test_a_package_imports_only_from_packages_above_it(layer):
    upward = [
        f"{label} imports {dep}"
        for label, target in TARGETS.items()
        for dep in target.deps
        if _rank(label) == PACKAGES.index(layer)
        and (not dep.startswith(f"//{LIBRARY}") or _rank(dep) is None or _rank(dep) > _rank(label))
    ]
    assert not upward


def test_every_package_has_files():
    assert {_rank(label) for label in TARGETS} >= set(range(len(PACKAGES)))
