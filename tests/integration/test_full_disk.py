"""A full disk is an error of one line; jobs resume when there is space again."""

import os

import numpy as np
import pytest

from tests.integration.small_disk import fill, resize, small_disk
from tests.integration.toy import error_line, finish_job, newest_step, run_job
from tests.models.small_text_models import (
    small_examples,
    small_text_model,
    write_examples,
)
from tf_efficientbert.distillation.warm_up import WarmUpOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.exporter import export
from tf_efficientbert.export.huggingface import export_huggingface
from tf_efficientbert.export.options import ExportOptions
from tf_efficientbert.models.text_model import TextModel, load


def _size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("share", [0, 0.5, 0.97])
@pytest.mark.parametrize("write", [TextModel.save, export_huggingface], ids=["own", "huggingface"])
def test_the_earlier_model_is_kept(tmp_path, write, share):
    old, new = small_text_model(seed=1), small_text_model(seed=2)
    texts = ["word1 word2", "word9"]
    write(new, tmp_path / "measured")
    with small_disk(tmp_path / "disk", "4m") as disk:
        write(old, disk / "model")
        fill(disk, int(share * _size(tmp_path / "measured")))
        with pytest.raises(UserError, match="^the disk is full: ") as caught:
            write(new, disk / "model")
        assert str(disk / "model") in str(caught.value)
        assert "\n" not in str(caught.value)
        assert sorted(os.listdir(disk)) == ["filler", "model"]
        assert load(disk / "model").predict(texts) == old.predict(texts)
        (disk / "filler").unlink()
        write(new, disk / "model")
        assert load(disk / "model").predict(texts) == new.predict(texts)


@pytest.mark.slow
def test_an_export_reports_a_full_disk_at_every_stage(tmp_path):
    model = small_text_model()
    model.save(tmp_path / "model")
    file = write_examples(tmp_path / "data.tsv", model.task, small_examples(model.task))
    with small_disk(tmp_path / "disk", "64k") as disk:
        options = ExportOptions(
            task="custom",
            train_file=file,
            dev_file=file,
            max_tokens=model.max_tokens,
            model=str(tmp_path / "model"),
            output_dir=str(disk / "export"),
            latency_runs=1,
            max_int8_loss=100.0,
        )
        failed = 0
        for kilobytes in (64, 800, 1200, 1300, 8000):
            resize(disk, f"{kilobytes}k")
            try:
                result = export(options)
                break
            except UserError as error:
                assert str(error).startswith(f"the disk is full: {disk}/export")
                assert "\n" not in str(error)
                failed += 1
        assert failed >= 2
        assert result["parity"]["litert_float32"]["agreement"] == 1.0
        leftovers = [p for p in disk.rglob("*") if ".new" in p.name or ".old" in p.name]
        assert not leftovers


@pytest.mark.slow
def test_a_job_resumes_after_a_full_disk(bert, tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("A sentence of the corpus that is long enough.\n" * 40, "utf-8")
    arguments = {
        "teacher_dir": str(bert),
        "corpus": str(corpus),
        "hidden_size": 24,
        "embedding_size": 8,
        "num_layers": 1,
        "batch_size": 8,
        "epochs": 2.0,
        "attention_ratio": 0.0,
        "checkpoint_seconds": 0.001,
    }
    job = "trainers.pretrain_supernet"
    with small_disk(tmp_path / "disk", "700k") as disk:
        options = WarmUpOptions(output_dir=str(disk / "run"), **arguments)
        line = error_line(run_job(job, options))
        assert line.startswith(f"the disk is full: {disk}/run/checkpoints/warm_up_supernet/step-")
        assert "free some space and run the same command again" in line
        step = newest_step(disk / "run" / "checkpoints" / "warm_up_supernet")
        assert 1 <= step < 10
        resize(disk, "64m")
        done = finish_job(job, options)
        assert f"resumes after step {step} of 10" in done.stderr
        finished = load(disk / "run" / "model").model.get_weights()
        assert sorted(os.listdir(disk / "run")) == [
            ".lock",
            "clock.json",
            "config.json",
            "history.json",
            "model",
            "result.json",
        ]
    elsewhere = WarmUpOptions(output_dir=str(tmp_path / "elsewhere"), **arguments)
    finish_job(job, elsewhere)
    expected = load(tmp_path / "elsewhere" / "model").model.get_weights()
    for one, other in zip(finished, expected, strict=True):
        np.testing.assert_array_equal(one, other)
