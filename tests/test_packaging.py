import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = [
    name for name in ("tf_efficientbert", "trainers", "serving") if (REPOSITORY / name).is_dir()
]
INSTALLED_DATA = (
    "serving/web/assets",
    "tf_efficientbert/data/shipped",
    "tf_efficientbert/reporting/assets",
    "trainers/recipes",
)
CACHES = shutil.ignore_patterns("__pycache__")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    """The file names in a wheel, built from a copy to keep the repository clean."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    for name in (*PACKAGES, "tests"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=CACHES)
    command = f"{sys.executable} -m pip wheel --no-deps --no-build-isolation --no-index".split()
    built = subprocess.run(
        [*command, "--wheel-dir", str(folder), str(source)], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("tf_efficientbert-*.whl")
    return set(zipfile.ZipFile(path).namelist())


def files(folder: str, pattern: str) -> set[str]:
    return {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / folder).rglob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_is_installed(wheel, package):
    assert files(package, "*.py") - wheel == set()


@pytest.mark.parametrize("folder", INSTALLED_DATA)
def test_every_data_file_is_installed(wheel, folder):
    assert files(folder, "*") - {f"{folder}/BUILD"} - wheel == set()


def test_tests_builds_and_caches_are_not_installed(wheel):
    folders = {name.partition("/")[0] for name in wheel}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == set(PACKAGES)
    assert [name for name in wheel if name.endswith((".pyc", "BUILD")) or "/test_" in name] == []


def test_the_licence_is_installed(wheel):
    assert any(name.endswith("LICENSE") for name in wheel)
