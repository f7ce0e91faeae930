import random
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from tf_efficientbert.search.action_space import LearnedActionSpace, Region, depth_for
from tf_efficientbert.search.stages import RECIPES

ROOT = Path(__file__).parents[2]
EXPLORING = 1.0


def random_encodings(count: int, seed: int = 0, length: int = 6) -> list[tuple[int, ...]]:
    rng = random.Random(seed)
    return [tuple(rng.randrange(16) for _ in range(length)) for _ in range(count)]


def fitted(
    encodings, scores, depth=1, seed=0, exploration=0.0, tuning_rounds=0, sampled=()
) -> Region:
    space = LearnedActionSpace.fit(encodings, scores, depth, seed, exploration, tuning_rounds)
    return space.choose(sampled)


def members(space: Region, encodings) -> list[bool]:
    return [space.contains(encoding) for encoding in encodings]


def mean_gain(space: Region, score, unseen) -> float:
    inside = [score(encoding) for encoding in unseen if space.contains(encoding)]
    return fmean(inside) - fmean(map(score, unseen))


@pytest.mark.parametrize(
    ("count", "depth"),
    [(6, 1), (399, 1), (400, 2), (799, 2), (800, 3), (1600, 4), (3199, 4), (3200, 5), (10**5, 5)],
)
def test_tree_depth_grows_as_in_the_paper(count, depth):
    assert depth_for(count) == depth


@pytest.mark.parametrize("tuning_rounds", [0, 3])
def test_candidates_in_the_region_score_above_average(tuning_rounds):
    encodings = random_encodings(100)
    space = fitted(encodings, [sum(e[:3]) for e in encodings], tuning_rounds=tuning_rounds)
    assert 0.3 < space.share < 0.7
    assert mean_gain(space, lambda e: sum(e[:3]), random_encodings(300, seed=1)) > 3


def test_a_deeper_tree_narrows_the_region():
    encodings, unseen = random_encodings(400), random_encodings(300, seed=1)
    regions = [fitted(encodings, [sum(e) for e in encodings], depth=depth) for depth in (1, 2)]
    shallow, deep = (sum(members(region, unseen)) for region in regions)
    assert 0 < deep < 0.7 * shallow
    assert all(not regions[1].contains(e) or regions[0].contains(e) for e in unseen)
    assert regions[1].share < regions[0].share
    assert mean_gain(regions[1], sum, unseen) > mean_gain(regions[0], sum, unseen) + 3


@pytest.mark.parametrize("count", [2, 6, 10])
def test_a_handful_of_candidates_is_enough_to_split(count):
    encodings = [(number, 5) for number in range(count)]
    space = fitted(encodings, [float(number) for number in range(count)])
    assert space.share == 0.5
    assert members(space, encodings) == [number >= count / 2 for number in range(count)]


@pytest.mark.parametrize("tuning_rounds", [0, 2])
def test_with_equal_scores_the_region_is_the_whole_space(tuning_rounds):
    encodings = random_encodings(50)
    space = fitted(encodings, [0.5] * 50, depth=3, exploration=1.0, tuning_rounds=tuning_rounds)
    assert space.share == 1
    assert all(members(space, random_encodings(100, seed=1)))


def test_with_one_candidate_the_region_is_the_whole_space():
    assert fitted([(1, 2)], [0.5]).contains((3, 4))


@pytest.mark.parametrize("better", [1, 3, 7, 9])
def test_scores_that_tie_at_the_median_still_split(better):
    encodings = [(number, 0) for number in range(10)]
    scores = [float(number >= 10 - better) for number in range(10)]
    space = fitted(encodings, scores)
    assert members(space, encodings) == [score == 1 for score in scores]


def test_with_equal_encodings_the_region_is_the_whole_space():
    assert fitted([(1, 2)] * 20, [float(n) for n in range(20)], depth=2).share == 1


BETTER, WORSE = (1,), (0,)
# Nine candidates that average 0.83, and nine that score 0.6.
HALVES = (
    [BETTER] * 9 + [WORSE] * 9,
    [0.7 + 0.2 * (number % 3 > 0) for number in range(9)] + [0.6] * 9,
)


def test_exploration_returns_to_the_region_that_is_not_sampled():
    for visits in (0, 1, 10, 1000):
        assert fitted(*HALVES, sampled=[BETTER] * visits).contains(BETTER)
    exploring = [
        fitted(*HALVES, exploration=EXPLORING, sampled=[BETTER] * visits) for visits in (0, 1, 10)
    ]
    assert exploring[0].contains(BETTER) and exploring[1].contains(BETTER)
    assert exploring[2].contains(WORSE) and not exploring[2].contains(BETTER)


def test_the_choice_switches_at_the_upper_confidence_bound():
    # By hand: 0.6 + c r sqrt(2 ln 6 / 1) overtakes v + c r sqrt(2 ln 6 / 5) after four visits.
    scores = HALVES[1]
    value, spread = fmean(scores[:9]), max(scores) - min(scores)
    bonuses = [(2 * 1.7918 / visits) ** 0.5 for visits in (5, 1)]
    switch = (value - 0.6) / (spread * (bonuses[1] - bonuses[0]))
    sampled = [BETTER] * 4
    assert fitted(*HALVES, exploration=0.99 * switch, sampled=sampled).contains(BETTER)
    assert fitted(*HALVES, exploration=1.01 * switch, sampled=sampled).contains(WORSE)


@pytest.mark.parametrize("name", RECIPES)
def test_the_exploration_of_every_recipe_samples_both_regions(name):
    draws = np.random.default_rng(0)
    scores = [*draws.uniform(0.6, 0.8, 9), *draws.uniform(0.4, 0.6, 9)]
    for stage in RECIPES[name]:
        sampled = []
        for _ in range(10):
            region = fitted(HALVES[0], scores, exploration=stage.exploration, sampled=sampled)
            sampled.append(BETTER if region.contains(BETTER) else WORSE)
        assert 5 < sampled.count(BETTER) < 10


def test_every_level_of_the_tree_counts_its_own_visits():
    encodings = [(number,) for number in range(16)]
    scores = [float(number) for number in range(16)]
    depth_two = {"depth": 2, "exploration": 0.5}
    assert fitted(encodings, scores, **depth_two).contains((15,))
    assert fitted(encodings, scores, **depth_two, sampled=[(15,)] * 4).contains((8,))


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_the_scale_of_the_scores_does_not_matter(factor):
    encodings, scores = HALVES
    scaled = [factor * score - 5 for score in scores]
    for exploration in (0.0, EXPLORING):
        arguments = {"exploration": exploration, "sampled": [BETTER] * 10}
        spaces = [fitted(encodings, values, **arguments) for values in (scores, scaled)]
        in_better = [space.contains(BETTER) for space in spaces]
        assert in_better == [exploration == 0] * 2


def described() -> str:
    """Returns membership of 200 encodings with fixed and with tuned parameters."""
    encodings, noise = random_encodings(60), random.Random(5)
    scores = [sum(encoding) + 8 * noise.random() for encoding in encodings]
    spaces = [fitted(encodings, scores, 2, seed=3, tuning_rounds=rounds) for rounds in (0, 3)]
    unseen = random_encodings(200, seed=1)
    return "".join(str(int(inside)) for space in spaces for inside in members(space, unseen))


def test_another_process_fits_the_same_tree():
    code = "from tests.search.test_action_space import described; print(described())"
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert output.stdout == described() + "\n"
    assert {"0", "1"} == set(described())
    assert output.stderr == ""


def test_numbers_of_scores_and_encodings_must_match():
    with pytest.raises(ValueError, match="got 2 encodings and 1 scores"):
        fitted([(1,), (2,)], [0.5])
    with pytest.raises(ValueError, match="at least one candidate"):
        fitted([], [])
