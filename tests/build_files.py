"""Generates BUILD files from imports: one target per Python file, with its imports as deps.

    python -m tests.build_files --write    # rewrites every BUILD file

A target has the name of its module, or `__init__` for a package. Imports inside functions are
included; those under `if TYPE_CHECKING:` are not, as they never run. Third-party packages are not
listed, as setup.py installs them. Strings that name a data folder (`"shipped"`,
`"fixtures/x.json"`) or a job to start (`"trainers.distill"`) become `data`.
"""

import argparse
import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["REPOSITORY", "Target", "parse", "render", "stale_build_files", "targets"]

REPOSITORY = Path(__file__).resolve().parents[1]
ROOTS = ("tf_efficientbert", "trainers", "serving", "benchmarks", "tests")
LIBRARY = "//:tf_efficientbert"

_RUNNER = "//tests:run_pytest.py"
_READS_THE_CHECKOUT = {"tests/test_build_files.py", "tests/test_packaging.py"}
_HEADER = """\
# Written by `make build-files` from the imports. Deps are the project's own modules;
# third-party packages come from setup.py.

load("@rules_python//python:defs.bzl", {rules})

"""
_TOP = """\
package(default_visibility = ["//visibility:public"])

licenses(["notice"])

exports_files(["LICENSE"])
"""


@dataclass(frozen=True)
class Target:
    """One rule of a BUILD file, with full labels such as `//tf_efficientbert/data:task.py`."""

    label: str
    rule: str
    srcs: frozenset[str] = frozenset()
    deps: frozenset[str] = frozenset()
    data: frozenset[str] = frozenset()

    @property
    def folder(self) -> str:
        return self.label[2:].partition(":")[0]

    @property
    def name(self) -> str:
        return self.label.partition(":")[2]


# === Targets from imports ===


def targets(repository: Path = REPOSITORY) -> dict[str, Target]:
    """Returns the targets of all BUILD files by label.

    Raises:
        ValueError: a file imports a project module that does not exist.
    """
    files = [
        PurePosixPath(path.relative_to(repository))
        for root in ROOTS
        for path in sorted((repository / root).rglob("*.py"))
    ]
    trees = {file: ast.parse((repository / file).read_text(encoding="utf-8")) for file in files}
    labels = {_module(file): _label(file.parent, file.stem) for file in files}
    jobs = {_module(file): labels[_module(file)] for file in files if _is_program(trees[file])}
    folders = _data_folders(repository, files)

    result = {
        label: Target(label, "filegroup", srcs=frozenset([f"{label}/**"]))
        for label in folders.values()
    }
    for file, tree in trees.items():
        label = labels[_module(file)]
        named = set(_named_in_strings(tree, file, jobs, folders))
        is_test = file.parts[0] == "tests" and file.name.startswith("test_")
        if is_test:
            named.update(_conftests(file, labels))
        result[label] = Target(
            label=label,
            rule="py_test" if is_test else "py_binary" if _is_program(tree) else "py_library",
            srcs=frozenset([_label(file.parent, file.name)] + [_RUNNER] * is_test),
            deps=frozenset(_imports(tree, file, labels)) - {label},
            data=frozenset(named) - {label},
        )
    library = frozenset(label for label in result if label.startswith("//tf_efficientbert"))
    modules = frozenset(label for label in library if result[label].rule != "filegroup")
    result[LIBRARY] = Target(LIBRARY, "py_library", deps=modules)
    return result


def _label(folder: PurePosixPath, name: str) -> str:
    return f"//{folder}:{name}"


def _module(file: PurePosixPath) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_program(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
        for node in tree.body
    )


def _imports(tree: ast.AST, file: PurePosixPath, labels: dict[str, str]) -> Iterator[str]:
    """Yields the labels of the project modules that `file` imports."""
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = _imported_from(node, file)
            # `from package import name`: a module of the package or a name in its __init__.
            modules = [
                f"{package}.{alias.name}" if f"{package}.{alias.name}" in labels else package
                for alias in node.names
            ]
        else:
            continue
        for module in modules:
            if module in labels:
                yield labels[module]
            elif module.partition(".")[0] in ROOTS:
                raise ValueError(f"{file}:{node.lineno} imports {module}, which does not exist")


def _imported_from(node: ast.ImportFrom, file: PurePosixPath) -> str:
    if not node.level:
        return node.module
    above = file.parts[: len(file.parts) - node.level]
    return ".".join(above + ((node.module,) if node.module else ()))


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields all nodes except those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield other
                yield from _executed(other)
        else:
            yield node
            yield from _executed(node)


def _data_folders(repository: Path, files: Iterable[PurePosixPath]) -> dict[PurePosixPath, str]:
    """Returns {path: label} of the packages' folders that contain files but no Python."""
    folders = {}
    for package in sorted({file.parent for file in files}):
        for path in sorted((repository / package).iterdir()):
            if not path.is_dir() or path.name == "__pycache__" or any(path.rglob("*.py")):
                continue
            if any(file.is_file() and file.suffix != ".pyc" for file in path.rglob("*")):
                folders[package / path.name] = _label(package, path.name)
    return folders


def _named_in_strings(
    tree: ast.AST,
    file: PurePosixPath,
    jobs: dict[str, str],
    folders: dict[PurePosixPath, str],
) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if node.value in jobs:
            yield jobs[node.value]
        name = node.value.partition("/")[0]
        yield from (
            folders[package / name] for package in file.parents if package / name in folders
        )


def _conftests(test: PurePosixPath, labels: dict[str, str]) -> Iterator[str]:
    """Yields the labels of the conftest.py files that pytest loads for a test."""
    for folder in test.parents[:-1]:
        label = labels.get(_module(folder / "conftest.py"))
        if label:
            yield label


# === BUILD files as text ===


def render(folder: str, of_repository: dict[str, Target]) -> str:
    """Returns the BUILD file of `folder` ("" for the repository) in buildifier's format."""
    of_folder = sorted(
        (target for target in of_repository.values() if target.folder == folder),
        key=lambda target: (target.rule != "filegroup", target.name),
    )
    rules = sorted({target.rule for target in of_folder} - {"filegroup"})
    head = _HEADER.format(rules=", ".join(f'"{rule}"' for rule in rules))
    if not folder:
        head += _TOP
    elif folder.split("/")[0] == "tests":
        head += _call("package", default_testonly=True, default_visibility=["//visibility:public"])
    else:
        head += _call("package", default_visibility=["//visibility:public"])
    if _RUNNER.startswith(f"//{folder}:"):
        head += '\nexports_files(["run_pytest.py"])\n'
    return "\n".join([head, *(_render_target(target) for target in of_folder)])


def _render_target(target: Target) -> str:
    srcs = [label.removeprefix(":") for label in _short(target.srcs, target.folder)]
    data, deps = _short(target.data, target.folder), _short(target.deps, target.folder)
    if target.rule == "filegroup":
        return _call("filegroup", name=target.name, srcs=_Glob(srcs))
    if target.rule != "py_test":
        return _call(target.rule, name=target.name, srcs=srcs, data=data, deps=deps)
    file = f"{target.name}.py"
    return _call(
        "py_test",
        name=target.name,
        srcs=srcs,
        args=[f"$(location {file})"],
        data=data,
        main=next(label for label in srcs if label != file),
        tags=["local"] if f"{target.folder}/{file}" in _READS_THE_CHECKOUT else [],
        deps=deps,
    )


class _Glob(list):
    """A list of file patterns."""


def _call(function: str, **arguments) -> str:
    """Returns a call in buildifier's format, without empty lists."""
    rendered = [f"{key} = {_value(value)}" for key, value in arguments.items() if value]
    if len(rendered) == 1:
        return f"{function}({rendered[0]})\n"
    lines = "".join(f"    {argument},\n" for argument in rendered)
    return f"{function}(\n{lines})\n"


def _value(value: bool | str | list[str]) -> str:
    if isinstance(value, _Glob):
        return f"glob({_value(list(value))})"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return f'"{value}"'
    if len(value) == 1:
        return f'["{value[0]}"]'
    return "[\n" + "".join(f'        "{item}",\n' for item in value) + "    ]"


def _short(labels: Iterable[str], folder: str) -> list[str]:
    """Returns labels relative to `folder` in buildifier's order."""

    def place(label: str):
        return not label.startswith(":"), label.replace(":", ".").split(".")

    def written(label: str) -> str:
        package, _, name = label.partition(":")
        if package == f"//{folder}":
            return f":{name}"
        return package if package.endswith(f"/{name}") else label

    return sorted(map(written, labels), key=place)


# === Parsing BUILD files ===


def parse(text: str, folder: str) -> dict[str, Target]:
    """Returns the targets of the BUILD file of `folder` by label; it may be hand-written.

    Raises:
        ValueError: a label is declared twice.
    """

    def in_full(labels: Iterable[str]) -> frozenset[str]:
        return frozenset(_full(label, folder) for label in labels)

    result = {}
    for rule, arguments in _calls(text):
        if not rule.startswith("py_") and rule != "filegroup":
            continue
        label = _full(arguments["name"], folder)
        if label in result:
            raise ValueError(f"{label} is declared twice")
        lists = {key: in_full(arguments.get(key, ())) for key in ("srcs", "deps", "data")}
        result[label] = Target(label, rule, **lists)
    return result


def _full(label: str, folder: str) -> str:
    if not label.startswith("//"):
        return f"//{folder}:{label.removeprefix(':')}"
    return label if ":" in label else f"{label}:{label.rpartition('/')[2]}"


def _calls(text: str) -> Iterator[tuple[str, dict]]:
    """Yields the calls of a BUILD file and their arguments; Starlark calls are valid Python."""
    for statement in ast.parse(text).body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            yield call.func.id, {item.arg: _literal(item.value) for item in call.keywords}


def _literal(node: ast.expr):
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "glob":
        node = node.args[0]
    return ast.literal_eval(node)


def stale_build_files(of_repository: dict[str, Target]) -> list[Path]:
    """Returns BUILD files in folders without Python files."""
    folders = {target.folder for target in of_repository.values()}
    return [
        path
        for root in ROOTS
        for path in sorted((REPOSITORY / root).rglob("BUILD"))
        if path.parent.relative_to(REPOSITORY).as_posix() not in folders
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Generates BUILD files from imports.")
    parser.add_argument("--write", action="store_true", help="rewrite every BUILD file")
    write = parser.parse_args().write
    of_repository = targets()
    folders = sorted({target.folder for target in of_repository.values()})
    texts = {folder: render(folder, of_repository) for folder in folders}
    if not write:
        for folder, text in texts.items():
            print(f"# === {folder or '.'}/BUILD ===\n{text}")
        return
    for folder, text in texts.items():
        path = REPOSITORY / folder / "BUILD"
        whole = path.with_name(".BUILD.new")  # so that no BUILD file is ever half-written
        whole.write_text(text, encoding="utf-8")
        whole.replace(path)
    for path in stale_build_files(of_repository):
        path.unlink()


if __name__ == "__main__":
    main()
