import copy
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tf_efficientbert.reporting.page import page

from .reports import data_card, report

ROOT = Path(__file__).parents[2]
NBSP = "\N{NO-BREAK SPACE}"
WHOLE = report()
SMALL = report((3, 2, 1), layers=1, records=12)
HOSTILE = "</style><script>alert('x')</script> $\\frac$ & \"q\" \ud800 _"


class Reader(HTMLParser):
    """Collects the content of a page; fails if its tags are not balanced."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in ("meta", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        assert len(given) == len(attrs), f"<{tag}> has an attribute twice: {attrs}"
        self.ids += [given["id"]] if "id" in given else []
        self.references += [given[key] for key in ("src", "href", "xlink:href") if key in given]
        assert not [key for key in given if key.startswith("on")]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts).replace(NBSP, " ")


def assert_well_formed(html: str) -> Reader:
    html.encode("utf-8")
    read = Reader(html)
    assert html.startswith("<!doctype html>")
    assert len(read.ids) == len(set(read.ids))
    assert all(reference.startswith("#") for reference in read.references)
    assert {reference[1:] for reference in read.references} <= set(read.ids)
    assert "@import" not in html
    assert all(target.startswith(("#", "data:")) for target in re.findall(r"url\(([^)]*)", html))
    assert not {"script", "link", "img", "iframe"} & set(read.tags)
    return read


@pytest.fixture(scope="module")
def whole() -> str:
    return page(WHOLE)


def test_page_is_balanced_and_refers_to_nothing_outside(whole):
    read = assert_well_formed(whole)
    for name in (
        "Models",
        "Data",
        "Classes",
        "Gain of each stage",
        "Chosen architecture",
        "All candidates",
    ):
        assert name in read.text


def test_same_report_gives_the_same_page_in_another_process(whole):
    program = (
        "from tests.reporting.reports import report\n"
        "from tf_efficientbert.reporting.page import page\n"
        "import sys; sys.stdout.buffer.write(page(report()).encode())"
    )
    again = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True
    )
    assert again.stdout.decode() == whole
    assert page(WHOLE) == whole


def test_a_report_is_not_changed():
    given = copy.deepcopy(WHOLE)
    page(given)
    assert given == WHOLE


def test_drawing_library_is_imported_only_when_something_is_drawn():
    program = (
        "import sys, tf_efficientbert.reporting.page\n"
        "heavy = {'matplotlib', 'tensorflow', 'keras'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_every_text_of_a_report_is_escaped():
    given = copy.deepcopy(WHOLE)
    given |= {"title": HOSTILE, "task": HOSTILE, "split": HOSTILE}
    given["models"][0]["name"] = HOSTILE
    given["models"][0]["test_<b>"] = 0.5
    given["models"][0]["litert"] = {HOSTILE: {"bytes": 1, "latency_ms": {HOSTILE: 2}}}
    given["confusion"] = {HOSTILE: {"labels": [HOSTILE, "b"], "counts": [[1, 2], [3, 4]]}}
    given["losses"] = {HOSTILE: [{"step": 1, "loss": 2, f"dev_{HOSTILE}": 0.5}]}
    given["seconds"] = {HOSTILE: 3}
    given["classes"] = {HOSTILE: [{"label": HOSTILE, "f1": 0.5, "support": 1}]}
    given["data"] = data_card({HOSTILE: 5, "b": 4}) | {"hints": [HOSTILE], "notes": [HOSTILE]}
    given["data"]["columns"] = {HOSTILE: HOSTILE}
    given["data"]["left_out"] = [{"file": HOSTILE, "line": HOSTILE, "reason": HOSTILE}]
    stage = given["search"]["stages"][0]
    stage |= {"name": HOSTILE, "metric": HOSTILE, "sampler": HOSTILE}
    stage["candidates"][0] |= {"state": HOSTILE, "reason": HOSTILE}
    stage["candidates"][1]["architecture"] = {"formulas": [HOSTILE]}
    read = assert_well_formed(page(given))
    assert "b" not in read.tags
    assert read.text.count("<script>alert('x')</script>") > 10


@st.composite
def selections(draw, value):
    """Strategy: the value with any of its parts missing or None."""
    if isinstance(value, dict):
        kept = {key: part for key, part in value.items() if draw(st.integers(0, 5))}
        return {key: draw(selections(part)) for key, part in kept.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        return [draw(selections(part)) for part in value[: draw(st.integers(0, len(value)))]]
    return value if draw(st.integers(0, 8)) else None


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(part=selections(SMALL))
def test_any_part_of_a_report_makes_a_page(part):
    assert_well_formed(page(part))


@pytest.mark.parametrize("key", sorted(SMALL))
def test_each_part_may_be_missing_empty_or_the_only_one(key):
    assert_well_formed(page({name: part for name, part in SMALL.items() if name != key}))
    assert_well_formed(page({key: SMALL[key]}))
    assert_well_formed(page({key: type(SMALL[key])()}))
    assert_well_formed(page({key: None}))


def test_an_empty_report_notes_the_missing_parts():
    read = assert_well_formed(page({}))
    assert "No search has been run yet" in read.text
    assert "No model has been scored yet" in read.text


def test_exported_forms_are_shown_with_score_agreement_and_difference():
    figures = {"max_difference": 0.2, "agreement": 0.993, "accuracy": 0.881, "keras": None}
    parity = {"searched": {"keras": figures, "litert_int8": figures}, "plain": {"other": {}}}
    read = assert_well_formed(page({"parity": parity}))
    text = read.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "99.3 % alike, 2e-01" in text and "88.1 %" in text
    assert "litert int8" in text and "Exported forms" in text


def test_a_running_search_is_not_shown_as_finished():
    stages = report()["search"]["stages"]
    assert "Searched in 3 stages" in assert_well_formed(page({"search": {"stages": stages}})).text
    for part in (stages[:2], [*stages[:2], {**stages[2], "ended": False}]):
        read = assert_well_formed(page({"search": {"stages": part}}))
        assert "Search not finished, so far" in read.text
        assert "Best architecture so far" in read.text


def test_a_stage_without_candidates_is_shown():
    read = assert_well_formed(page({"search": {"stages": [{"name": "joint", "planned": 12}]}}))
    assert "joint (0 of 12)" in read.text
    assert "No candidate has a score yet" in read.text
    assert "No candidate yet" in read.text


@pytest.mark.parametrize(
    "scores",
    [
        [0.8],
        [None],
        [None, None, None],
        [math.nan, math.inf, -math.inf],
        [0.8, 0.8, 0.8],
        [0, 0],
        [1, 1],
        [True, "0.8", 10**400],
        [1e99, -1e99],
        [-0.5, None, 0.5],
    ],
    ids=str,
)
@pytest.mark.parametrize("state", ["complete", "failed"])
@pytest.mark.parametrize("metric", ["accuracy", "log-likelihood"])
def test_odd_scores_and_states_make_a_page(scores, state, metric):
    stage = report((len(scores), 1, 1))["search"]["stages"][0] | {"metric": metric, "best": 0}
    for candidate, score in zip(stage["candidates"], scores, strict=True):
        candidate |= {"score": score, "state": state, "losses": [math.nan, *scores]}
    stage["training"] = [{"step": step, "loss": value} for step, value in enumerate(scores)]
    assert_well_formed(page({"search": {"stages": [stage]}}))


def test_failed_candidates_are_shown_with_their_reason(whole):
    assert "the loss is not finite at step 9" in whole
    assert "failed, without a score" in whole


@pytest.mark.parametrize(
    ("searched", "cell", "verdict"),
    [
        (0.88, "+2.0 ± 2.4", "less than two standard errors"),
        (0.80, "−6.0 ± 2.6", "more than two standard errors: worse"),
        (0.95, "+9.0 ± 2.0", "more than two standard errors: better"),
    ],
)
def test_gap_to_plain_is_shown_with_the_error_of_the_difference(searched, cell, verdict):
    given = copy.deepcopy({"models": WHOLE["models"]})
    error = math.sqrt(searched * (1 - searched) / 400)
    given["models"][3] |= {"test_accuracy": searched, "test_accuracy_standard_error": error}
    text = assert_well_formed(page(given)).text
    assert text.count(cell) == 2  # in the headline and in the table
    assert verdict in text


def _gap_of_searched(paired, **searched):
    """Returns the page's text for a searched model and a plain one with 86.0 ± 1.7 % accuracy."""
    given = {"models": [dict(WHOLE["models"][1]), WHOLE["models"][3] | searched]}
    return assert_well_formed(page(given | {"paired": {"searched": paired}})).text


@pytest.mark.parametrize(
    ("difference", "p_value", "shown"),
    [
        (0.007, 0.1824, "+0.7 ± 0.5 points of accuracy (paired, p = 0.18): these examples show no"),
        (0.012, 0.0213, "+1.2 ± 0.5 points of accuracy (paired, p = 0.021): better."),
        (-0.03, 1e-9, "−3.0 ± 0.5 points of accuracy (paired, p < 0.001): worse."),
        (0.0, 1.0, "0.0 ± 0.5 points of accuracy (paired, p = 1): these examples show no"),
    ],
)
def test_a_paired_gap_is_shown_with_its_p_value(difference, p_value, shown):
    paired = {"difference": difference, "standard_error": 0.005, "p_value": p_value}
    text = _gap_of_searched({"metric": "accuracy", **paired})
    assert shown in text
    assert text.count(shown.split(" points")[0]) == 2  # in the headline and in the table
    assert "McNemar" in text


def test_models_with_the_same_predictions_have_no_difference():
    paired = {"metric": "accuracy", "difference": 0.0, "standard_error": 0.0, "p_value": 1.0}
    text = _gap_of_searched(paired)
    assert "Searched against plain: no difference in accuracy (paired, p = 1)." in text
    assert "standard errors" not in text


def test_perfect_scores_have_no_unpaired_difference():
    perfect = {"test_accuracy": 1.0, "test_accuracy_standard_error": 0.0}
    models = [{"name": name, **perfect} for name in ("plain", "searched")]
    text = assert_well_formed(page({"models": models})).text
    assert "no difference in accuracy (unpaired)" in text
    assert "more than two standard errors" not in text


def test_a_paired_gap_of_another_metric_is_not_used():
    paired = {"metric": "macro_f1", "difference": 0.5, "standard_error": 0.0, "p_value": 0.01}
    text = _gap_of_searched(paired)
    assert "+2.0 ± 2.4 points of accuracy (unpaired)" in text and "50.0" not in text


def test_metrics_are_shown_in_words():
    models = [
        {"name": name, "test_macro_f1": 0.5 + number / 10, "test_micro_f1": 0.7}
        for number, name in enumerate(("plain", "searched"))
    ]
    stage = {"name": "joint", "metric": "macro_f1", "candidates": [{"index": 0, "score": 0.8}]}
    html = page({"models": models, "search": {"stages": [stage]}})
    text = Reader(html).text
    assert "Macro F1, searched 60.0 %" in text.replace("  ", " ")
    assert "+10.0 points of macro F1" in text and "micro F1" in text
    assert "Scores are macro F1" in text and "80.0 %" in text
    assert "macro_f1" not in html


def test_a_gap_without_errors_has_an_unknown_error():
    given = {
        "models": [
            {"name": "plain", "test_matthews": 0.40},
            {"name": "searched", "test_matthews": 0.45},
        ]
    }
    assert (
        "+5.0 points of matthews; the error of the difference is unknown"
        in Reader(page(given)).text
    )


def test_scores_in_percent_are_not_scaled():
    text = Reader(page({"models": [{"name": "searched", "test_f1": 85.3}]})).text
    assert "85.3 %" in text


def test_best_of_a_stage_is_shown_with_its_standard_error():
    stage = {
        "name": "joint",
        "metric": "accuracy",
        "validation_examples": 100,
        "candidates": [{"index": 0, "score": 0.8}, {"index": 1, "score": 0.9}],
    }
    text = Reader(page({"search": {"stages": [stage]}})).text
    assert "90.0 ± 3.0 %" in text
    assert "+10.0" in text  # over its first candidate


def test_scores_and_sizes_after_each_compression_step_are_shown():
    text = Reader(page({"compression": WHOLE["compression"]})).text
    assert "as it was 88.0 ± 1.6 % – 6.09 M 6.09 M 209 M 20.9 MB 6.3 MB 3.2 s" in text
    assert "prune(0.5) 86.5 ± 1.6 % −1.5 6.09 M 4.00 M 209 M 15.2 MB 6.3 MB 1 min 35 s" in text


def test_confusion_matrix_of_many_classes_has_a_cell_for_each_pair():
    labels = [f"class {number}" for number in range(7)]
    counts = [[10 * row + column for column in range(7)] for row in range(7)]
    html = page({"confusion": {"searched": {"labels": labels, "counts": counts}}})
    read = assert_well_formed(html)
    matrix = html[html.index('class="confusion"') :]
    assert matrix.count("background:rgb") == 49
    assert matrix.count('scope="col"') == matrix.count('scope="row"') == 7
    assert "66" in read.texts


def test_confusion_matrix_of_the_wrong_shape_is_left_out():
    html = page({"confusion": {"searched": {"labels": ["a", "b"], "counts": [[1, 2, 3]]}}})
    assert 'class="confusion"' not in html


def test_every_drawing_has_a_label(whole):
    drawings = re.findall(r"<svg[^>]*>", whole)
    assert len(drawings) > 8
    assert all('role="img"' in drawing and "aria-label=" in drawing for drawing in drawings)


def test_page_of_150_classes_shows_only_the_worst():
    labels = [f"intent {number}" for number in range(150)]
    counts = [[20 if row == column else 0 for column in range(150)] for row in range(150)]
    counts[7][140] = 13
    classes = [
        {"label": label, "precision": 0.9, "recall": 0.9, "f1": 0.9, "support": 20}
        for label in labels
    ]
    classes[7]["f1"] = 0.4
    given = copy.deepcopy(WHOLE) | {"data": data_card(dict.fromkeys(labels, 100))}
    given["classes"] = {"teacher": classes[:3], "searched": classes}
    given["confusion"] = {name: {"labels": labels, "counts": counts} for name in ("a", "b")}
    html = page(given)
    text = assert_well_formed(html).text
    assert len(html) < len(page(WHOLE)) + 30_000
    assert 'class="confusion"' not in html
    assert text.count("intent 140") == 2  # in the pairs of both models
    assert "the 10 of 150 classes with the lowest F1" in text


def test_classes_are_those_of_the_searched_or_else_the_last_model():
    def shown(*models):
        figures = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 3}
        given = {name: [{"label": f"class of {name}", **figures}] for name in models}
        return Reader(page({"classes": given})).text

    assert "class of searched" in shown("plain", "searched", "smaller")
    assert "class of plain" not in shown("plain", "searched", "smaller")
    assert "class of plain" in shown("teacher", "plain")


def test_page_of_a_long_search_stays_small():
    html = page(report((12, 12, 48), layers=6, records=20_000))
    assert_well_formed(html)
    assert len(html.encode()) < 1_000_000
