import re

import matplotlib
import pytest

from tf_efficientbert.reporting import charts
from tf_efficientbert.reporting.study import reported_stages

from .reports import report

SEARCH = report()["search"]["stages"]
STAGES = reported_stages(report())


def commands(html: str) -> int:
    """Returns the number of segments of the longest line in a drawing."""
    return max(len(re.findall("[ML]", path)) for path in re.findall(r' d="([^"]*)"', html))


def test_long_training_is_thinned_to_what_a_chart_can_show():
    records = [{"step": step, "loss": 1 / step} for step in range(1, 30_001)]
    chart = charts.training("supernet", records, "key")
    assert "30,000 records" in chart
    assert 20 < commands(chart) <= 200


def test_records_without_a_number_are_skipped():
    records = [{"step": 1, "loss": float("nan")}, {"step": 2}, {"step": 3, "loss": 0.5}, None]
    assert "1 record," in charts.training("teacher", records, "key")
    assert charts.training("teacher", records[:2], "key") is None


def test_dev_score_is_drawn_below_the_loss():
    records = [{"step": step, "loss": 1.0, "dev_accuracy": 0.9} for step in (1, 2)]
    chart = charts.training("teacher", records, "key").replace("\N{NO-BREAK SPACE}", " ")
    assert "dev accuracy 90.0 %" in chart
    assert "dev, %" in chart


def test_best_so_far_marks_the_first_candidate_drawn_from_an_action_space():
    def chart(**fit):
        given = {**SEARCH[0], "fits": [{"candidates": 2, **fit}]}
        (stage,) = reported_stages({"search": {"stages": [given]}})
        return str(charts.best_so_far(stage, 0))

    # A group was running when the second candidate got its score: two more are random.
    assert "action space, fitted to 2 candidates" in chart(index=4)
    assert chart(index=4) != chart(index=2)
    assert chart() == chart(index=2)  # a report without the index, from an older version


def test_the_error_of_the_best_score_is_drawn_where_it_is_known():
    chart = charts.best_so_far(STAGES[0], 0)
    assert "one standard error of the best" in chart
    other = reported_stages({"search": {"stages": [{**SEARCH[0], "metric": "perplexity"}]}})
    assert "one standard error" not in charts.best_so_far(other[0], 0)


def test_a_shared_training_is_split_into_its_parts():
    records = [{"step": step, "loss": float(step)} for step in (1, 3, 4, 6)] + [{"loss": 1.0}, None]
    given = {**SEARCH[0], "training": records, "phases": [["text", 3], ["task", 3]]}
    (stage,) = reported_stages({"search": {"stages": [given]}})
    assert stage.shared_trainings == {
        "text": [{"step": 1, "loss": 1.0}, {"step": 3, "loss": 3.0}],
        "task": [{"step": 1, "loss": 4.0}, {"step": 3, "loss": 6.0}],
    }
    (stage,) = reported_stages({"search": {"stages": [{**given, "phases": None}]}})
    assert [record["step"] for record in stage.shared_trainings["training"]] == [1, 3, 4, 6]


def test_candidates_curves_mark_the_best_and_the_failed_ones():
    chart = charts.candidate_losses(STAGES[0], 0)
    assert "best candidate" in chart
    assert ">failed<" in chart


@pytest.mark.parametrize("draw", [charts.best_so_far, charts.candidate_losses])
def test_stage_without_candidates_has_no_chart(draw):
    (stage,) = reported_stages({"search": {"stages": [{"name": "joint"}]}})
    assert draw(stage, 0) is None


def test_the_user_s_matplotlib_settings_are_neither_used_nor_changed():
    before = charts.score_against_parameters(STAGES)
    with matplotlib.rc_context({"font.size": 31, "axes.grid": False, "svg.fonttype": "path"}):
        assert charts.score_against_parameters(STAGES) == before
        assert matplotlib.rcParams["font.size"] == 31
