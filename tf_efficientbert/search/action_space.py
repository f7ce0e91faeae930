"""Learns from scored candidates which region of the search space to sample next.

Wang et al. 2019, Sample-Efficient Neural Architecture Search by Learning Action Space
(arXiv 1906.06832), with classifiers in place of its regressions, as in Dong et al. 2021.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np

from tf_efficientbert.search.quiet_optuna import optuna

__all__ = ["LearnedActionSpace", "Region", "depth_for"]

# Each threshold adds a level to the tree: depth 2 from 400 candidates, 5 from 3,200.
_DEEPER_FROM = (400, 800, 1600, 3200)
# With fewer candidates, the cross-validation folds are too small to compare parameters.
_FEWEST_TO_TUNE = 40
_FOLDS = 5
_ROUNDS = 40


def depth_for(count: int) -> int:
    """Returns the tree depth, 1 to 5, for `count` candidates (Dong et al. 2021)."""
    return 1 + sum(count >= threshold for threshold in _DEEPER_FROM)


@dataclass(frozen=True)
class _Node:
    """A region of the space and statistics of the fitted candidates in it.

    Attributes:
        count: number of candidates in the region.
        mean: their mean score.
        classifier: predicts which child an encoding belongs to; None for a leaf.
        children: (worse, better); empty for a leaf.
    """

    count: int
    mean: float
    classifier: lightgbm.Booster | None = None
    children: tuple["_Node", ...] = ()


@dataclass(frozen=True)
class Region:
    """A leaf of the tree: the part of the space to sample next.

    Attributes:
        share: fraction of the fitted candidates that lie in it.
    """

    share: float
    _path: tuple[tuple[lightgbm.Booster, int], ...]

    def contains(self, encoding: Sequence[int]) -> bool:
        """Returns whether a candidate lies in the region."""
        features = np.asarray([encoding], float)
        return all(
            bool(_is_better(classifier, features)[0]) == bool(side)
            for classifier, side in self._path
        )


class LearnedActionSpace:
    """A tree of classifiers that splits a space into regions; build it with `fit`.

    Each node splits its candidates at the median score and trains a classifier to separate the
    better half from the worse. The prediction, not the score, assigns a candidate to a child.
    """

    def __init__(self, root: _Node, bonus: float) -> None:
        self._root = root
        self._bonus = bonus

    @classmethod
    def fit(
        cls,
        encodings: Sequence[Sequence[int]],
        scores: Sequence[float],
        depth: int,
        seed: int,
        exploration: float,
        tuning_rounds: int,
    ) -> "LearnedActionSpace":
        """Fits the tree; the same arguments give the same tree in every process.

        Args:
            encodings: one per candidate, all of equal length.
            scores: one per candidate, higher is better. If all are equal, the only region is the
                whole space.
            depth: most classifiers between root and leaf.
            seed: random seed of LightGBM and the tuning.
            exploration: weight of the bonus of less visited regions, relative to the range of the
                scores; 0 always chooses the region with the better mean.
            tuning_rounds: rounds of TPE over LightGBM's parameters at each node with 40 or more
                candidates (Dong et al. use 10); 0 uses fixed parameters.

        Raises:
            ValueError: there are no candidates, or scores and encodings differ in number.
        """
        if not len(encodings) or len(encodings) != len(scores):
            raise ValueError(
                f"need one score per candidate and at least one candidate, got "
                f"{len(encodings)} encodings and {len(scores)} scores"
            )
        features, values = np.asarray(encodings, float), np.asarray(scores, float)
        root = _grow(features, values, depth, random.Random(seed), tuning_rounds)
        return cls(root, exploration * float(np.ptp(values)))

    def choose(self, sampled: Sequence[Sequence[int]]) -> Region:
        """Returns the region to sample next, by Monte Carlo tree search.

        From the root down, the child with the highest upper confidence bound is chosen. Its visits
        are the candidates after those of the fit: the median leaves as many fitted ones on one side
        as on the other, so that with them no region would ever count as less visited.

        Args:
            sampled: the encodings of the candidates after the last one in the fit.
        """
        features = np.asarray(sampled, float)
        node, path = self._root, []
        while node.children:
            better = _is_better(node.classifier, features) if len(features) else np.zeros(0, bool)
            side = _chosen_side(node, (int((~better).sum()), int(better.sum())), self._bonus)
            path.append((node.classifier, side))
            features, node = features[better == side], node.children[side]
        return Region(node.count / self._root.count, tuple(path))


def _chosen_side(node: _Node, visits: tuple[int, int], bonus: float) -> int:
    """Returns 0 or 1, the child with the higher bound; 1 on a tie.

    UCB1 (Auer et al. 2002) with one more visit to each child, so that the first choice is that of
    the means.
    """

    def bound(side: int) -> tuple[float, int]:
        width = math.sqrt(2 * math.log(2 + sum(visits)) / (1 + visits[side]))
        return node.children[side].mean + bonus * width, side

    return max((0, 1), key=bound)


def _grow(
    features: np.ndarray, scores: np.ndarray, depth: int, rng: random.Random, tuning_rounds: int
) -> _Node:
    leaf = _Node(len(scores), float(scores.mean()))
    labels = _better_half(scores)
    if depth < 1 or labels.all():
        return leaf
    classifier = _train(features, labels, rng.getrandbits(31), tuning_rounds)
    better = _is_better(classifier, features)
    if better.all() or not better.any():
        # It has learned nothing, and a region without candidates could reject every draw.
        return leaf
    children = tuple(
        _grow(features[side], scores[side], depth - 1, rng, tuning_rounds)
        for side in (~better, better)
    )
    return _Node(leaf.count, leaf.mean, classifier, children)


def _better_half(scores: np.ndarray) -> np.ndarray:
    """Returns True for scores above the median; ties all go to the side that balances the halves.

    All values are True if and only if all scores are equal.
    """
    median = np.median(scores)
    above, not_below = scores > median, scores >= median
    even = len(scores) / 2
    return above if even - above.sum() < not_below.sum() - even else not_below


def _is_better(classifier: lightgbm.Booster, features: np.ndarray) -> np.ndarray:
    return classifier.predict(features, num_threads=1) >= 0.5


def _train(
    features: np.ndarray, labels: np.ndarray, seed: int, tuning_rounds: int
) -> lightgbm.Booster:
    parameters = _fixed_parameters(len(labels), seed)
    if tuning_rounds and len(labels) >= _FEWEST_TO_TUNE:
        parameters |= _tuned_parameters(features, labels, seed, tuning_rounds)
    return _boosted(features, labels, parameters)


def _fixed_parameters(count: int, seed: int) -> dict:
    # Ids are numerical features. As categories (min_data_per_group, cat_smooth and cat_l2 of 1),
    # accuracy on unseen candidates was similar for formulas (0.68 against 0.66 after 150), higher
    # for sizes with arbitrary scores (0.82 against 0.69), and lower for sizes whose score grows
    # with the stack (0.85 against 0.92), which is the usual case.
    return {
        "objective": "binary",
        "num_leaves": 8,
        "learning_rate": 0.1,
        "feature_fraction": 0.5,
        # LightGBM's defaults, 20 and 3, would not split a few dozen candidates at all, nor
        # separate a region with few candidates.
        "min_data_in_leaf": min(max(1, count // 20), 5),
        "min_data_in_bin": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }


def _boosted(features: np.ndarray, labels: np.ndarray, parameters: dict) -> lightgbm.Booster:
    data = lightgbm.Dataset(features, labels.astype(int), params=parameters)
    return lightgbm.train(parameters, data, num_boost_round=_ROUNDS)


def _tuned_parameters(
    features: np.ndarray, labels: np.ndarray, seed: int, tuning_rounds: int
) -> dict:
    """Returns the LightGBM parameters with the lowest cross-validated log loss that TPE found."""

    def loss(trial: optuna.Trial) -> float:
        suggested = {
            "num_leaves": trial.suggest_int("num_leaves", 2, 31),
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 1, len(labels) // 10),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
            "lambda_l2": trial.suggest_float("lambda_l2", 1e-3, 10.0, log=True),
        }
        parameters = _fixed_parameters(len(labels), seed) | suggested
        return _cross_validated_loss(features, labels, parameters, seed)

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(loss, n_trials=tuning_rounds)
    return study.best_params


def _cross_validated_loss(
    features: np.ndarray, labels: np.ndarray, parameters: dict, seed: int
) -> float:
    """Returns the mean log loss over stratified folds; each candidate is held out once."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    folds = np.empty(len(labels), int)
    folds[order] = np.arange(len(labels)) % _FOLDS
    losses = np.empty(len(labels))
    for fold in range(_FOLDS):
        held_out = folds == fold
        classifier = _boosted(features[~held_out], labels[~held_out], parameters)
        probabilities = classifier.predict(features[held_out], num_threads=1)
        right = np.where(labels[held_out], probabilities, 1 - probabilities)
        losses[held_out] = -np.log(np.clip(right, 1e-7, None))
    return float(losses.mean())
