"""The gate `champion`, case by case; and that trying often does not help."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from mlflow_ext.errors import DirectionError, TableError
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.gates.candidate import Candidate, Label, Opponent
from mlflow_ext.gates.champion import ChampionGate, base_rate_opponent, judge_champion
from mlflow_ext.gates.subject import GateSubject

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "champion.yaml").read_text())
AUC = ChampionGate(metric="roc_auc", direction="maximize", margin=0.005)
ROWS = 200


def answers(labels, is_right):
    return np.where(is_right, labels, 1 - labels).astype(float)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_case(case):
    row, first = np.arange(case["rows"]), case["only_challenger"]
    labels = row % 2
    challenger = answers(labels, (row < first) | (row >= first + case["only_opponent"]))
    opponent = Opponent(
        name="the other",
        probability=answers(labels, row >= first),
        is_baseline=case.get("is_baseline", False),
    )
    check = judge_champion(
        ChampionGate(**case["gate"]),
        Predictions("holdout", labels, challenger),
        opponent,
        case.get("attempt", 1),
    )
    assert check.verdict == case["verdict"]
    assert check.observed == pytest.approx(case["gain"])
    low, high = check.interval
    assert low <= check.observed <= high
    assert bool(check.rows_needed) == case.get("needs_rows", False)


def predictions():
    truth = np.random.default_rng(0).random(ROWS)
    return Predictions("holdout", (np.arange(ROWS) % 10 < truth * 10).astype(int), truth, 0.3)


class Answering(Candidate):
    """A candidate whose answers are at hand."""

    predictions = predictions()


def candidate(opponent, **more):
    subject = GateSubject(
        model="delay", version=7, fingerprints={"holdout": "f00d"}, rows=ROWS, created_ms=5
    )
    holdout = pd.DataFrame({"flight": np.arange(ROWS), "day": 1, "late": predictions().labels})
    return Answering(
        subject=subject,
        files=Path(),
        holdout=holdout,
        label=Label(column="late"),
        find_opponent=lambda _: opponent,
        **more,
    )


def test_without_a_champion_the_base_rate_has_to_be_beaten():
    last = list(AUC.judge(candidate(None)))[-1]
    assert str(last.verdict) == "passed"
    assert last.name.startswith("roc_auc against the base rate 0.")
    assert last.expected == "gain > 0.005 at error level 0.025"


def test_a_base_rate_says_the_same_of_every_row():
    assert set(base_rate_opponent(np.array([0, 0, 0, 1]), 200).probability) == {0.25}


def test_other_rows_are_inconclusive_and_nothing_is_compared():
    opponent = Opponent(name="models:/delay/6", probability=np.full(199, 0.5))
    same, unseen = AUC.judge(candidate(opponent))
    assert (str(same.verdict), same.observed) == (
        "inconclusive",
        {"challenger": 200, "opponent": 199},
    )
    assert str(unseen.verdict) == "passed"


def test_an_opponent_that_has_seen_the_rows_before_is_not_compared():
    memory = predictions().labels.astype(float)  # it knows every answer
    opponent = Opponent(name="models:/delay/6", probability=memory, seen=("2013-06",))
    same, unseen = AUC.judge(candidate(opponent))
    assert (str(same.verdict), str(unseen.verdict)) == ("passed", "inconclusive")
    assert (unseen.observed, unseen.reason) == (
        ["2013-06"],
        "it would win by memory; judge on later rows",
    )


@pytest.mark.parametrize("key", [("flight",), ("flight", "day")])
def test_probabilities_from_elsewhere_are_joined_by_key(key):
    shuffled = np.random.default_rng(1).permutation(ROWS)
    keys = shuffled if len(key) == 1 else np.array([f"{n}\x1f1" for n in shuffled])
    opponent = Opponent(name="the same", probability=predictions().probability[shuffled], keys=keys)
    gate = ChampionGate(metric="roc_auc", direction="maximize", margin=0.005, key=key)
    last = list(gate.judge(candidate(opponent)))[-1]
    assert (str(last.verdict), last.observed) == ("passed", 0.0)
    assert "identical predictions" in last.reason


@pytest.mark.parametrize(
    ("keys", "key"),
    [(np.arange(ROWS) + 1, ("flight",)), (np.zeros(ROWS), ("flight",)), (np.arange(ROWS), ())],
    ids=["other rows", "a key that names many", "a gate without a key"],
)
def test_probabilities_that_cannot_be_joined_are_refused(keys, key):
    opponent = Opponent(name="the same", probability=predictions().probability, keys=keys)
    gate = ChampionGate(metric="roc_auc", direction="maximize", margin=0.005, key=key)
    same, _ = gate.judge(candidate(opponent))
    assert str(same.verdict) == "inconclusive"
    assert "could not be joined" in same.reason


def test_the_same_comparison_is_no_other_attempt():
    asked = []

    def count(model, holdout, identity):
        asked.append((model, holdout, identity))
        return 3

    first = Opponent(name="models:/delay/6", probability=np.full(ROWS, 0.5))
    second = Opponent(name="models:/delay/5", probability=np.full(ROWS, 0.5))
    for opponent in (first, first, second):
        last = list(AUC.judge(candidate(opponent, count_attempt=count)))[-1]
    assert asked[0] == asked[1] != asked[2]
    assert asked[0][:2] == ("delay", "f00d")
    assert "attempt 3 on these rows" in last.reason


def test_a_comparison_that_is_not_fair_is_no_attempt():
    def count(model, holdout, identity):
        raise AssertionError("counted")

    opponent = Opponent(name="models:/delay/6", probability=np.full(199, 0.5))
    assert len(list(AUC.judge(candidate(opponent, count_attempt=count)))) == 2


def test_probabilities_that_are_none_give_no_verdict():
    opponent = Opponent(name="models:/delay/6", probability=np.full(ROWS, np.nan))
    with pytest.raises(TableError, match="probability nan in 200 of 200 rows"):
        judge_champion(AUC, predictions(), opponent)


def test_one_class_gives_no_verdict():
    only = Predictions("holdout", np.ones(50), np.full(50, 0.9))
    opponent = Opponent(name="models:/delay/6", probability=np.full(50, 0.8))
    with pytest.raises(TableError, match="all 50 labels are 1"):
        judge_champion(AUC, only, opponent)


def test_a_direction_that_rewards_the_worse_model_is_an_error():
    with pytest.raises(DirectionError, match="write 'direction: maximize'"):
        ChampionGate(metric="roc_auc", direction="minimize", margin=0.0)


def retrain(random, labels):
    """One more model, as good as every other: right on nine rows of ten."""
    return Predictions("holdout", labels, answers(labels, random.random(len(labels)) < 0.9))


def test_twenty_retrains_of_equal_models_promote_one_by_luck_hardly_ever():
    random = np.random.default_rng(7)
    labels = np.arange(2_000) % 2
    gate = ChampionGate(metric="accuracy", direction="maximize", margin=0.0, test="superiority")
    ours, naive, trials = 0, 0, 100
    for _ in range(trials):
        champion = retrain(random, labels)
        opponent = Opponent(name="champion", probability=champion.probability)
        checks = [
            judge_champion(gate, retrain(random, labels), opponent, attempt)
            for attempt in range(1, 21)
        ]
        ours += any(str(check.verdict) == "passed" for check in checks)
        naive += any(check.observed >= 0.005 for check in checks)
    assert ours / trials <= 0.05
    assert naive / trials > 0.6
