import copy
import json

import pytest

from tests.models.small_models import small_architecture
from tests.models.small_text_models import small_text_model
from tf_efficientbert.pipeline.report import describe_model, render


def _litert(size):
    return {
        "float32": {"bytes": size, "latency_ms": {"1": 23.44, "2": 12.06}},
        "int8": {"bytes": size // 4, "latency_ms": {"1": 9.96, "2": 5.01}},
    }


def _scores(accuracy):
    return {"test_accuracy": accuracy, "test_accuracy_standard_error": 0.0123}


_PARITY = {
    "keras": {"max_difference": 0.0, "agreement": 1.0},
    "litert_float32": {"max_difference": 2.1e-6, "agreement": 1.0},
    "litert_int8": {"max_difference": 0.04, "agreement": 0.985, "accuracy": 0.871},
}
_REPORT = {
    "task": "reviews",
    "split": "test",
    "examples": 582,
    "models": [
        {
            "name": "teacher",
            "parameters": 22_713_986,
            "macs": 1_378_000_000,
            **_scores(0.92),
            "litert": _litert(90_900_000),
        },
        *(
            {
                "name": name,
                "parameters": 5_234_567,
                "macs": 190_600_000,
                **_scores(accuracy),
                "litert": _litert(21_000_000),
            }
            for name, accuracy in (("plain", 0.86), ("published", 0.874), ("searched", 0.851))
        ),
    ],
    "search": {
        "stages": [
            {
                "name": "joint",
                "metric": "accuracy",
                "validation_examples": 521,
                "best": 1,
                "candidates": [
                    {"index": 0, "score": None, "state": "failed", "seconds": 2.0},
                    {"index": 1, "score": 0.8, "state": "complete", "seconds": 9.4},
                ],
            }
        ]
    },
    "parity": {"teacher": _PARITY, "published": _PARITY},
    "answers": [
        {
            "text": "What a phone.",
            "second_text": "",
            "label": "positive",
            "score": 0.987,
            "said": "positive (0.99)",
            "expected": "positive",
        },
        {
            "text": "What a day.",
            "second_text": "",
            "label": "positive",
            "score": 0.512,
            "said": "positive (0.51)",
            "expected": "negative",
        },
        {
            "text": "It rains.",
            "second_text": "No.",
            "label": "",
            "score": 1.21,
            "said": "1.21",
            "expected": 0.5,
        },
    ],
    "seconds": {"teacher": 61.4, "export_plain": 20.6},
}


def _row(text, name):
    """Returns the cells of the first line that begins with `name`."""
    line = next(line for line in text.splitlines() if line.split()[:1] == [name])
    return [cell.strip() for cell in line.strip().split("  ") if cell.strip()]


def test_a_model_s_row_shows_size_score_with_its_error_and_latency():
    row = _row(render(_REPORT, "out"), "published")
    latencies = ["23.4 / 12.1", "10.0 / 5.0"]
    expected = ["published", "5.23 M", "0.191 G", "87.4 ± 1.2", "21.0", "5.2", *latencies, "95.0%"]
    assert row == expected
    assert _row(render(_REPORT, "out"), "teacher")[-1] == "100.0%"


def test_the_head_names_the_columns_and_the_metric():
    head = _row(render(_REPORT, "out"), "model")
    assert head[:6] == ["model", "parameters", "MACs", "accuracy", "float32 MB", "int8 MB"]
    assert head[6:] == ["float32 ms (1/2 threads)", "int8 ms (1/2 threads)", "of teacher"]


def test_dev_scores_are_shown_like_test_scores():
    report = copy.deepcopy(_REPORT)
    for model in report["models"]:
        for name in _scores(0):
            model[name.replace("test_", "dev_")] = model.pop(name)
    dev = render({**report, "split": "dev"}, "out")
    assert dev == render(_REPORT, "out").replace("split test", "split dev")


def test_another_metric_is_shown_with_its_name_and_without_an_error():
    report = copy.deepcopy(_REPORT)
    for model, score in zip(report["models"], (0.0, -0.5, -0.25, 0.25), strict=True):
        for name in _scores(0):
            del model[name]
        model["test_pearson"] = score
    report["search"]["stages"][0]["metric"] = "pearson"
    text = render(report, "out")
    assert "accuracy" not in text
    assert _row(text, "model")[3] == "pearson"
    assert _row(text, "published")[3] == "-25.0"
    assert _row(text, "published")[-1] == "-"  # no share of a teacher with a score of 0
    assert "Searched against plain: +75.0 points of pearson; the error of the difference is" in text


def test_a_negative_gap_of_the_searched_student_is_shown_with_its_error():
    expected = "plain: \u22120.9 ± 1.7 points of accuracy (unpaired), less than two standard"
    assert expected in render(_REPORT, "out").replace("\u202f", " ").replace("\u00a0", " ")


def test_a_stage_s_candidates_failures_best_score_and_seconds_are_shown():
    expected = (
        "Search, joint: 2 candidates, 1 of them failed, best accuracy 80.0 on 521 held-out "
        "examples, 11 s"
    )
    assert expected in render(_REPORT, "out").splitlines()


def test_scores_and_sizes_after_each_compression_step_are_shown():
    sizes = {"parameters": 5_234_567, "macs": 190_600_000, "seconds": 41.0}
    steps = [
        {"step": "as it was", "dev_accuracy": 0.86, "nonzero_parameters": 5_234_567, **sizes},
        {"step": "prune(0.5)", "dev_accuracy": 0.852, "nonzero_parameters": 3_100_000, **sizes},
    ]
    steps = [{**step, "zipped_bytes": 19_400_000, "int8_bytes": 5_500_000} for step in steps]
    text = render({**_REPORT, "compression": steps}, "out").replace("\u00a0", " ")
    counts, sizes = ["5.23 M", "3.10 M", "191 M"], ["19.4 MB", "5.5 MB"]
    expected = ["prune(0.5)", "85.2 %", "\u22120.8", *counts, *sizes, "41 s"]
    assert _row(text, "prune(0.5)") == expected
    assert "compression" not in render(_REPORT, "out")


def test_agreement_and_largest_difference_of_each_form_are_shown():
    text = render(_REPORT, "out")
    after = text[text.index("Exported forms") :]
    assert _row(after, "model") == ["model", "litert float32", "litert int8"]
    shown = ["100.0\xa0% alike, 2e-06", "87.1\xa0%, 98.5\xa0% alike, 4e-02"]
    assert _row(after, "published") == ["published", *shown]


def test_forms_of_a_regression_have_no_agreement():
    report = copy.deepcopy(_REPORT)
    for figures in report["parity"].values():
        for form in figures.values():
            form.pop("agreement", None)
            form.pop("accuracy", None)
    text = render(report, "out")
    assert _row(text[text.index("Exported") :], "teacher") == ["teacher", "2e-06", "4e-02"]


def test_data_predictions_seconds_and_files_are_shown():
    text = render(_REPORT, "runs/mine")
    assert "582 examples of reviews, split test" in text
    answers = [
        "  positive (0.99):  What a phone.",
        "  positive (0.51), expected negative:  What a day.",
        "  1.21, expected 0.5:  It rains.",
    ]
    assert "\n".join(answers) in text
    assert "teacher 61, export_plain 21" in text
    assert "runs/mine/searched/model" in text and "runs/mine/report.json" in text


def test_a_model_is_described_as_deployed_with_its_scores_and_files():
    model = small_text_model(architecture=small_architecture())
    keras = {"max_difference": 0.0, "mean_difference": 0.0, "agreement": 1.0, "accuracy": 0.5}
    files = {name: {**figures, "path": "x"} for name, figures in _litert(1000).items()}
    exported = {"parity": {"keras": keras}, "litert": files}
    described = describe_model("mine", model, {"accuracy": 0.5}, exported, "dev")
    architecture = small_architecture()
    head = 24 * 24 + 24 + 24 * 3 + 3
    assert described == {
        "name": "mine",
        "architecture": json.loads(architecture.to_json()),
        "parameters": architecture.count_parameters(None, 40, 16) + head,
        "macs": architecture.count_macs(128),
        "dev_accuracy": 0.5,
        "litert": _litert(1000),
    }


@pytest.mark.parametrize("described", [_REPORT["models"]])
def test_columns_are_aligned(described):
    text = render(_REPORT, "out").splitlines()
    rule = next(i for i, line in enumerate(text) if line.strip().startswith("---"))
    starts = [i for i, c in enumerate(text[rule]) if c == "-" and text[rule][i - 1] == " "]
    for line in text[rule - 1 : rule + 1 + len(described)]:
        assert all(line[start - 1] == " " and line[start] != " " for start in starts)
