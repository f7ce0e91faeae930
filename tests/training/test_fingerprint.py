import dataclasses

import pytest

from tf_efficientbert.errors import UserError
from tf_efficientbert.options import input_option, option
from tf_efficientbert.training.fingerprint import fingerprint
from tf_efficientbert.training.run_directory import open_run_directory


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Options:
    output_dir: str = option("", "where")
    model: str = input_option("", "what is read")


def test_a_fingerprint_depends_on_content_not_on_the_path(tmp_path):
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(text)
    a, b, c = (fingerprint(str(tmp_path / name)) for name in "abc")
    assert a == b != c


def test_a_folder_s_fingerprint_depends_on_all_its_files(tmp_path):
    (tmp_path / "inner").mkdir()
    file = tmp_path / "inner" / "weights"
    file.write_text("1")
    before = fingerprint(str(tmp_path))
    file.write_text("2")
    assert fingerprint(str(tmp_path)) != before
    file.rename(tmp_path / "inner" / "other")
    (tmp_path / "inner" / "other").write_text("1")
    assert fingerprint(str(tmp_path)) != before


def test_words_files_and_lists_have_distinct_fingerprints(tmp_path):
    (tmp_path / "text").write_text("text")
    file = str(tmp_path / "text")
    values = ("", "novels", file, f"novels,{file}", f"{file},novels", f"{file},{file}")
    assert len({fingerprint(value) for value in values}) == len(values)


def _open(folder, model):
    with open_run_directory(_Options(output_dir=str(folder / "run"), model=str(model))) as run:
        (run.path / "made").touch()


def test_a_changed_input_is_rejected_but_a_moved_one_is_not(tmp_path):
    model = tmp_path / "model"
    model.write_text("weights")
    _open(tmp_path, model)
    moved = model.rename(tmp_path / "moved")
    _open(tmp_path, moved)
    moved.write_text("other weights")
    with pytest.raises(UserError, match="model was .*model' and is now .*moved'"):
        _open(tmp_path, moved)
    model.write_text("other weights")
    with pytest.raises(UserError, match="model was .*model' and its content has changed"):
        _open(tmp_path, model)


def test_only_the_part_of_an_input_that_a_job_reads_is_compared(tmp_path):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options:
        output_dir: str = option("", "where")
        folder: str = input_option("", "what", part=lambda options: f"{options.folder}/read")

    for name in ("read", "unread"):
        (tmp_path / name).write_text("before")
    options = Options(output_dir=str(tmp_path / "run"), folder=str(tmp_path))
    with open_run_directory(options) as run:
        (run.path / "made").touch()
    (tmp_path / "unread").write_text("after")
    with open_run_directory(options):
        pass
    (tmp_path / "read").write_text("after")
    with (
        pytest.raises(UserError, match="folder was .* and its content has changed"),
        open_run_directory(options),
    ):
        pass


def test_a_run_without_a_digest_of_an_input_compares_the_flag_s_value(tmp_path):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Older:
        output_dir: str = option("", "where")
        model: str = option("", "what is read")

    Older.__name__ = _Options.__name__
    with open_run_directory(Older(output_dir=str(tmp_path / "run"), model="word")) as run:
        (run.path / "made").touch()
    _open(tmp_path, "word")
    with pytest.raises(UserError, match="model was 'word' and is now 'other'"):
        _open(tmp_path, "other")
