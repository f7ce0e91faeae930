import graphlib

import pytest

from tests.build_files import REPOSITORY, Target, parse, render, stale_build_files, targets

EXPECTED = targets()
FOLDERS = sorted({target.folder for target in EXPECTED.values()})
REPAIR = "run `make build-files`"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder or "top")
def test_build_file_declares_a_target_per_file_with_its_imports_as_deps(folder):
    path = REPOSITORY / folder / "BUILD"
    assert path.is_file(), f"{folder}/BUILD is missing: {REPAIR}"
    declared = parse(path.read_text(encoding="utf-8"), folder)
    wanted = {label: target for label, target in EXPECTED.items() if target.folder == folder}
    faults = differences(wanted, declared)
    assert not faults, "\n".join([*faults, REPAIR])


def differences(wanted: dict[str, Target], declared: dict[str, Target]) -> list[str]:
    faults = [f"{label} is missing" for label in sorted(wanted.keys() - declared.keys())]
    faults += [f"{label} is superfluous" for label in sorted(declared.keys() - wanted.keys())]
    for label in sorted(wanted.keys() & declared.keys()):
        want, have = wanted[label], declared[label]
        if want.rule != have.rule:
            faults.append(f"{label} is a {have.rule}, expected a {want.rule}")
        for kind in ("srcs", "deps", "data"):
            missing = sorted(getattr(want, kind) - getattr(have, kind))
            superfluous = sorted(getattr(have, kind) - getattr(want, kind))
            if missing or superfluous:
                faults.append(f"{label}: {kind} missing {missing}, superfluous {superfluous}")
    return faults


def test_there_is_no_build_file_without_python_files():
    stale = stale_build_files(EXPECTED)
    assert not stale, f"no Python files beside {[str(path) for path in stale]}: {REPAIR}"


def test_targets_have_no_dependency_cycle():
    graph = {label: target.deps for label, target in EXPECTED.items()}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(graph)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder or "top")
def test_rendered_build_files_parse_to_the_same_targets(folder):
    wanted = {label: target for label, target in EXPECTED.items() if target.folder == folder}
    assert parse(render(folder, EXPECTED), folder) == wanted


def test_differences_name_target_and_labels():
    wanted = {"//a:b": Target("//a:b", "py_library", deps=frozenset(["//c:d"]))}
    declared = {"//a:b": Target("//a:b", "py_test", deps=frozenset(["//e:f"]))}
    assert differences(wanted, declared) == [
        "//a:b is a py_test, expected a py_library",
        "//a:b: deps missing ['//c:d'], superfluous ['//e:f']",
    ]


def test_a_hand_written_build_file_is_parsed():
    text = """
load("@rules_python//python:defs.bzl", "py_library")
py_library(name = "a", srcs = ["a.py"], deps = [":b", "//c/d", "//:top"])
filegroup(name = "files", srcs = glob(["files/**"]))
"""
    assert parse(text, "x") == {
        "//x:a": Target(
            "//x:a",
            "py_library",
            srcs=frozenset(["//x:a.py"]),
            deps=frozenset(["//x:b", "//c/d:d", "//:top"]),
        ),
        "//x:files": Target("//x:files", "filegroup", srcs=frozenset(["//x:files/**"])),
    }


def test_a_label_declared_twice_is_an_error():
    with pytest.raises(ValueError, match="//x:a is declared twice"):
        parse('py_library(name = "a")\npy_test(name = "a")\n', "x")


PACKAGE = {
    "tf_efficientbert/__init__.py": "",
    "tf_efficientbert/room/__init__.py": "from tf_efficientbert.room.thing import Thing",
    "tf_efficientbert/room/thing.py": "class Thing: ...",
}


def targets_of(folder, contents: dict[str, str]) -> dict[str, Target]:
    """Returns the targets of a repository with these files in `folder`."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return targets(folder)


ROOM = "//tf_efficientbert/room:__init__"
THING = "//tf_efficientbert/room:thing"


@pytest.mark.parametrize(
    ("source", "deps"),
    [
        ("import tf_efficientbert.room.thing", {THING}),
        ("import tf_efficientbert.room as room", {ROOM}),
        ("import tf_efficientbert as teb", {"//tf_efficientbert:__init__"}),
        ("from tf_efficientbert.room import thing", {THING}),
        ("from tf_efficientbert.room import Thing", {ROOM}),
        ("from tf_efficientbert.room import Thing, thing", {ROOM, THING}),
        ("from tf_efficientbert.room.thing import Thing", {THING}),
        ("from tf_efficientbert.room.thing import *", {THING}),
        ("from .room import thing", {THING}),
        ("from . import room", {ROOM}),
        ("def f():\n    import tf_efficientbert.room.thing", {THING}),
        ("try:\n    from .room import Thing\nexcept ImportError:\n    pass", {ROOM}),
        ("if TYPE_CHECKING:\n    from tf_efficientbert.room import thing", set()),
        ("if typing.TYPE_CHECKING:\n    import x\nelse:\n    from .room import thing", {THING}),
        ("import numpy as np\nfrom keras import ops\nimport trainers_of_others", set()),
    ],
)
def test_deps_are_the_project_modules_imported(source, deps, tmp_path):
    of_tree = targets_of(tmp_path, {**PACKAGE, "tf_efficientbert/user.py": source})
    assert of_tree["//tf_efficientbert:user"].deps == deps


def test_a_package_depends_on_its_modules_not_on_itself(tmp_path):
    of_tree = targets_of(
        tmp_path, {**PACKAGE, "tf_efficientbert/room/__init__.py": "from . import thing, other"}
    )
    assert of_tree[ROOM].deps == {THING}


def test_an_import_of_a_missing_module_is_an_error(tmp_path):
    source = "\nimport tf_efficientbert.gone"
    with pytest.raises(ValueError, match=r"user\.py:2 imports tf_efficientbert\.gone"):
        targets_of(tmp_path, {**PACKAGE, "tf_efficientbert/user.py": source})


def test_programs_are_binaries_and_tests_run_under_pytest(tmp_path):
    of_tree = targets_of(
        tmp_path,
        {
            "trainers/job.py": 'if __name__ == "__main__":\n    print()',
            "tests/test_job.py": "import trainers.job",
            "tests/shared.py": "",
        },
    )
    assert {label: target.rule for label, target in of_tree.items()} == {
        "//trainers:job": "py_binary",
        "//tests:test_job": "py_test",
        "//tests:shared": "py_library",
        "//:tf_efficientbert": "py_library",
    }
    assert of_tree["//tests:test_job"].srcs == {"//tests:test_job.py", "//tests:run_pytest.py"}


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ('PATH = Path(__file__).parents[1] / "fixtures"', {"//tests:fixtures"}),
        ('PATH = "fixtures/golden/a.json"', {"//tests:fixtures"}),
        ('"""Mentions fixtures in a docstring."""', set()),
        ('run([sys.executable, "-m", "trainers.job"])', {"//trainers:job"}),
        ('"trainers.shared"', set()),
    ],
)
def test_folders_and_jobs_named_in_strings_are_data(source, data, tmp_path):
    of_tree = targets_of(
        tmp_path,
        {
            "trainers/job.py": 'if __name__ == "__main__":\n    print()',
            "trainers/shared.py": "",
            "tests/fixtures/golden/a.json": "{}",
            "tests/conftest.py": "",
            "tests/room/test_it.py": source,
        },
    )
    assert of_tree["//tests/room:test_it"].data == data | {"//tests:conftest"}
