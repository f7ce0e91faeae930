import dataclasses
import hashlib

import pytest

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.search.budget import Budget
from tf_efficientbert.search.evaluator import Evaluator, Outcome
from tf_efficientbert.search.sampler import ActionSpaceSampler, RandomSampler, SpaceExhausted
from tf_efficientbert.search.seeds import seed_of
from tf_efficientbert.search.space import FormulaSpace, SizeSpace
from tf_efficientbert.search.stage_search import SearchError, StageSearch
from tf_efficientbert.search.stages import RECIPES
from tf_efficientbert.search.study import COMPLETE, FAILED, Study, Trial

_BUDGET = Budget(0, 10**9, None, 100, 32)
_FORMULAS = ("linear1_1(gelu(linear1_1(x,wb1)),wb2)", "tanh(linear2_1(gelu(linear2_1(x,wb1)),wb2))")
_BEST = Architecture.from_formulas(_FORMULAS, hidden_size=24, ffn_width=24, num_heads=2)
_ONE_LAYER = dataclasses.replace(_BEST, cells=_BEST.cells[:1])  # 16 sizes in all
_STAGE = dataclasses.replace(
    RECIPES["quick"][0], name="sizes", candidates=13, random_candidates=4, refit_every=2
)
_GROUP = 4


class _Scores(Evaluator):
    """Derives scores from a hash of the architecture; the indices in `failing` fail."""

    def __init__(self, failing=()):
        self.failing = failing
        self.groups, self.forgotten, self.evaluated = [], [], []

    def evaluate(self, group):
        self.groups.append(tuple(group))
        self.evaluated += [architecture.canonical() for architecture in group.values()]
        return {index: self.outcome_of(index, each) for index, each in group.items()}

    def forget(self):
        self.forgotten.append(self.groups[-1])

    def outcome_of(self, index, architecture):
        if index in self.failing:
            return Outcome(reason=f"number {index} is too large", seconds=0.5)
        digest = hashlib.sha256(architecture.canonical().to_json().encode()).digest()
        score, loss = digest[0] / 256, digest[1] / 256
        return Outcome(score=score, loss=loss, seconds=2.0, losses=(3.0, loss))


def _sampler(kind="action-space", best=_BEST):
    if kind == "random":
        return RandomSampler(SizeSpace(best, _BUDGET), seed=5, max_draws=300)
    return ActionSpaceSampler(SizeSpace(best, _BUDGET), seed=5, start=4, every=2, max_draws=300)


def _search(path, evaluator, stage=_STAGE, sampler=None, known=None, group_size=_GROUP):
    study = Study(path)
    study.begin(stage.name)
    study.note(stage.name, metric="accuracy")
    return StageSearch(
        stage=stage,
        sampler=sampler or _sampler(),
        make_evaluator=lambda: evaluator,
        study=study,
        budget=_BUDGET,
        group_size=group_size,
        seed=7,
        known=known or {},
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.journal"


@pytest.fixture(scope="module", params=["action-space", "random"])
def finished(request, tmp_path_factory):
    """(kind of sampler, evaluator, journal, best) of an uninterrupted stage; 5 and 9 fail."""
    path = tmp_path_factory.mktemp("engine") / "study.journal"
    evaluator = _Scores(failing=(5, 9))
    best = _search(path, evaluator, sampler=_sampler(request.param)).run()
    return request.param, evaluator, path, best


def test_candidates_are_evaluated_in_groups_and_forgotten_after_saving(finished):
    _, evaluator, path, _ = finished
    assert evaluator.groups == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11), (12,)]
    assert evaluator.forgotten == evaluator.groups
    assert [trial.index for trial in Study(path, writable=False).trials("sizes")] == list(range(13))


def test_a_trial_contains_everything_about_its_candidate(finished):
    _, evaluator, path, _ = finished
    for trial in Study(path, writable=False).trials("sizes"):
        outcome = evaluator.outcome_of(trial.index, trial.architecture)
        expected = Trial(
            index=trial.index,
            architecture=trial.architecture,
            parameters=_BUDGET.parameters(trial.architecture),
            seed=seed_of(7, "sizes", trial.index),
            state=FAILED if trial.index in (5, 9) else COMPLETE,
            **dataclasses.asdict(outcome),
        )
        assert trial == expected


def test_no_candidate_is_evaluated_twice(finished):
    _, evaluator, _, _ = finished
    assert len(evaluator.evaluated) == len(set(evaluator.evaluated)) == 13


def test_a_stage_returns_its_best_trial(finished):
    _, _, path, best = finished
    study = Study(path, writable=False)
    scored = [trial for trial in study.trials("sizes") if trial.state == COMPLETE]
    assert best.score == max(trial.score for trial in scored)
    assert study.notes("sizes")["ended"] is True


def _journals_of_killed_processes(path):
    """Returns the journal as a process leaves it if killed after each of its writes."""
    lines = path.read_bytes().splitlines(keepends=True)
    return [b"".join(lines[:count]) for count in range(len(lines) + 1)]


def test_a_stage_killed_at_any_write_resumes_with_the_same_candidates(finished, path):
    kind, _, whole, best = finished
    expected = Study(whole, writable=False)
    journals = _journals_of_killed_processes(whole)
    assert len(journals) > 13
    for journal in journals:
        path.write_bytes(journal)
        before = {trial.index for trial in Study(path, writable=False).trials("sizes")}
        evaluator = _Scores(failing=(5, 9))
        assert _search(path, evaluator, sampler=_sampler(kind)).run() == best
        study = Study(path, writable=False)
        assert study.trials("sizes") == expected.trials("sizes")
        assert study.notes("sizes")["ended"] is True
        # Groups start at the same indices, and no group with known outcomes is evaluated again.
        assert all(group[0] % _GROUP == 0 for group in evaluator.groups)
        assert all(not set(group) <= before for group in evaluator.groups)


def test_a_killed_stage_notes_the_fits_of_all_its_processes(finished, path):
    kind, _, whole, _ = finished
    expected = Study(whole, writable=False).notes("sizes").get("fits", [])
    fits = [(fit["index"], fit["candidates"]) for fit in expected]
    assert fits == ([(4, 4), (8, 6), (12, 10)] if kind == "action-space" else [])
    for journal in _journals_of_killed_processes(whole):
        path.write_bytes(journal)
        _search(path, _Scores(failing=(5, 9)), sampler=_sampler(kind)).run()
        assert Study(path, writable=False).notes("sizes").get("fits", []) == expected


def test_a_finished_stage_returns_its_best_without_an_evaluator(finished):
    kind, _, path, best = finished
    assert _search(path, None, sampler=_sampler(kind)).run() == best


@pytest.mark.parametrize("group_size", [1, 5, 13, 20])
def test_every_group_size_evaluates_all_candidates_once(path, group_size):
    evaluator = _Scores()
    _search(path, evaluator, group_size=group_size).run()
    assert [index for group in evaluator.groups for index in group] == list(range(13))
    assert {group[0] % group_size for group in evaluator.groups} == {0}
    assert len(set(evaluator.evaluated)) == 13


# === Trials of earlier stages ===


def _formula_search(path, evaluator, name, known):
    stage = dataclasses.replace(_STAGE, name=name, candidates=9)
    sampler = RandomSampler(FormulaSpace(_BEST), seed=len(name))
    return _search(path, evaluator, stage=stage, sampler=sampler, known=known)


def test_a_network_scored_in_an_earlier_stage_is_reused_and_takes_no_time(path):
    evaluator = _Scores()
    _search(path, evaluator).run()
    earlier = Study(path).trials("sizes")
    assert earlier[0].architecture == _BEST
    known = {trial.architecture.canonical(): trial for trial in earlier}
    _formula_search(path, evaluator, "formulas", known).run()
    first, *others = Study(path).trials("formulas")
    assert first.architecture == _BEST and first.reused
    assert (first.score, first.loss) == (earlier[0].score, earlier[0].loss)
    assert (first.seconds, first.losses) == (0.0, ())
    assert first.seed == seed_of(7, "formulas", 0) != earlier[0].seed
    assert not any(trial.reused for trial in others)
    assert len(evaluator.evaluated) == len(set(evaluator.evaluated)) == 13 + 8
    assert evaluator.groups[-3:] == [(1, 2, 3), (4, 5, 6, 7), (8,)]


def test_a_network_that_failed_in_an_earlier_stage_is_not_tried_again(path):
    reason = "diverged"
    failed = Trial(
        index=6, architecture=_BEST, parameters=1, seed=1, state=FAILED, reason=reason, seconds=9.0
    )
    evaluator = _Scores()
    _formula_search(path, evaluator, "formulas", {_BEST.canonical(): failed}).run()
    first = Study(path).trials("formulas")[0]
    assert (first.state, first.reason, first.reused) == (FAILED, reason, True)
    assert _BEST.canonical() not in evaluator.evaluated


def test_a_group_with_reused_trials_is_the_same_after_a_kill(path, tmp_path):
    known = {
        _BEST.canonical(): Trial(
            index=3, architecture=_BEST, parameters=1, seed=1, state=COMPLETE, score=0.5, loss=1.0
        )
    }
    _formula_search(path, _Scores(), "formulas", known).run()
    expected = Study(path).trials("formulas")
    for journal in _journals_of_killed_processes(path):
        other = tmp_path / "other.journal"
        other.write_bytes(journal)
        _formula_search(other, _Scores(), "formulas", known).run()
        assert Study(other).trials("formulas") == expected


# === Failures ===


def test_three_failures_in_a_row_stop_the_stage_with_the_last_reason(path):
    with pytest.raises(SearchError) as caught:
        _search(path, _Scores(failing=(5, 6, 7, 8))).run()
    message = str(caught.value)
    assert "sizes: 3 candidates in a row failed" in message
    assert "number 7: number 7 is too large" in message
    assert str(path) in message and "another --output_dir" in message
    trials = Study(path, writable=False).trials("sizes")
    assert [trial.index for trial in trials] == list(range(8))
    assert [trial.index for trial in trials if trial.state == FAILED] == [5, 6, 7]


def test_three_failures_in_a_row_over_two_groups_stop_the_stage(path):
    with pytest.raises(SearchError, match="the last one, number 4: "):
        _search(path, _Scores(failing=(2, 3, 4))).run()


def test_a_stage_stopped_by_three_failures_resumes_with_the_next_candidate(path):
    failing = (1, 2, 3, 4, 5, 6, 11)
    for last in (3, 6):
        with pytest.raises(SearchError, match=f"number {last} is too large.*start again"):
            _search(path, _Scores(failing)).run()
    best = _search(path, _Scores(failing)).run()
    assert best.index not in failing
    trials = Study(path, writable=False).trials("sizes")
    assert [trial.index for trial in trials] == list(range(13))
    assert [trial.index for trial in trials if trial.state == FAILED] == list(failing)


def test_a_stage_killed_before_it_reported_failures_reports_them_in_the_next_run(path):
    with pytest.raises(SearchError):
        _search(path, _Scores(failing=(1, 2, 3))).run()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))  # the last note is that the stage stopped
    assert len(Study(path, writable=False).trials("sizes")) == 4
    with pytest.raises(SearchError, match="number 3 is too large"):
        _search(path, None).run()


def test_two_failures_in_a_row_do_not_stop_the_stage(path):
    best = _search(path, _Scores(failing=(0, 1, 3, 4, 6, 7, 11, 12))).run()
    assert best.index in (2, 5, 8, 9, 10)
    assert len(Study(path).trials("sizes")) == 13


def test_a_stage_whose_candidates_all_failed_is_an_error_with_the_last_reason(path):
    stage = dataclasses.replace(_STAGE, candidates=2)
    with pytest.raises(SearchError, match="every candidate failed.*number 1 is too large"):
        _search(path, _Scores(failing=(0, 1)), stage=stage).run()
    assert len(Study(path).trials("sizes")) == 2


# === A space with fewer candidates than the stage has ===


@pytest.mark.parametrize("kind", ["action-space", "random"])
@pytest.mark.parametrize("group_size", [3, 4])
def test_a_stage_ends_when_its_space_has_no_new_candidate(path, kind, group_size, caplog):
    stage = dataclasses.replace(_STAGE, candidates=40)
    evaluator = _Scores()
    sampler = _sampler(kind, _ONE_LAYER)
    best = _search(path, evaluator, stage, sampler, group_size=group_size).run()
    study = Study(path, writable=False)
    assert len(study.trials("sizes")) == len(set(evaluator.evaluated)) == 16
    assert best.score == max(trial.score for trial in study.trials("sizes"))
    assert study.notes("sizes")["ended"] is True
    assert "sizes ends after 16" in caplog.text


def test_a_stage_without_any_candidate_is_an_error(path):
    class _Exhausted(RandomSampler):
        def ask(self, index):
            raise SpaceExhausted("all draws were too large")

    message = "sizes found no candidate to try: all draws were too large"
    with pytest.raises(SearchError, match=message):
        _search(path, _Scores(), sampler=_Exhausted(SizeSpace(_BEST, _BUDGET), seed=5)).run()


@pytest.mark.parametrize("group_size", [3, 4])
def test_an_exhausted_stage_returns_its_best_again(path, group_size):
    stage = dataclasses.replace(_STAGE, candidates=40)
    best = [
        _search(path, evaluator, stage, _sampler(best=_ONE_LAYER), group_size=group_size).run()
        for evaluator in (_Scores(), None)
    ]
    assert best[0] == best[1]
