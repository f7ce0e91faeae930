"""Fixtures for tests of whole jobs."""

import json

import pytest

from tests.integration.toy import finish_job, pipeline_options, write_bert


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    return write_bert(tmp_path_factory.mktemp("bert") / "tiny_bert")


@pytest.fixture(scope="session")
def finished_run(bert, tmp_path_factory):
    """(folder, report, stdout) of an uninterrupted run of the pipeline."""
    folder = tmp_path_factory.mktemp("pipeline") / "run"
    printed = finish_job("trainers.run_pipeline", pipeline_options(bert, folder)).stdout
    return folder, json.loads((folder / "report.json").read_text("utf-8")), printed
