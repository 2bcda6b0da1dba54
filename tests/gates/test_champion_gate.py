"""The gate `champion`, case by case."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from mlflow_ext.errors import DirectionError, TableError
from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.gates.champion import Opponent, base_rate_opponent, judge_champion
from mlflow_ext.gates.subject import GateSubject
from mlflow_ext.project import ChampionGate
from mlflow_ext.records import GateReport, from_json, to_json

CASES = yaml.safe_load((Path(__file__).parent / "cases" / "champion.yaml").read_text())
AUC = ChampionGate(metric="roc_auc", direction="maximize", tolerance=0.005)


def subject(rows):
    return GateSubject(
        model="flight-delay", version=7, fingerprints={"holdout": "f00d"}, rows=rows, created_ms=5
    )


def challenger(rows=200):
    truth = np.random.default_rng(0).random(rows)
    return Predictions("holdout", (np.arange(rows) % 10 < truth * 10).astype(int), truth, 0.3)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_case(case):
    labels, first, second = np.array(case["rows"]).T
    opponent = Opponent(
        name="the other", probability=second, is_baseline=case.get("is_baseline", False)
    )
    report = judge_champion(
        ChampionGate(**case["config"]),
        Predictions("holdout", labels, first),
        opponent,
        subject(len(labels)),
    )
    assert report.verdict == case["verdict"]
    assert report.checks[-1].observed == pytest.approx(case["difference"])
    for line, said in zip(report.reasons, case.get("says", report.reasons), strict=True):
        assert said in line


def test_the_first_version_is_compared_with_the_base_rate_of_its_training_rows():
    opponent = base_rate_opponent(np.array([0, 0, 0, 1]), 200)
    assert set(opponent.probability) == {0.25}
    report = judge_champion(AUC, challenger(), opponent, subject(200))
    assert report.verdict == "passed"
    assert report.checks[-1].name == "roc_auc against the base rate 0.2500"
    assert report.checks[-1].expected == "difference > 0.005"


def test_other_rows_are_inconclusive_and_nothing_is_compared():
    opponent = Opponent(name="models:/flight-delay/6", probability=np.full(199, 0.5))
    report = judge_champion(AUC, challenger(), opponent, subject(200))
    assert (report.verdict, len(report.checks)) == ("inconclusive", 2)
    assert "observed {'challenger': 200, 'opponent': 199}" in report.reasons[0]


def test_an_opponent_that_has_seen_the_rows_before_is_not_compared():
    memory = challenger().labels.astype(float)  # it knows every answer
    opponent = Opponent(name="models:/flight-delay/6", probability=memory, seen=("2013-06",))
    report = judge_champion(AUC, challenger(), opponent, subject(200))
    assert (report.verdict, len(report.checks)) == ("inconclusive", 2)
    assert "unseen_rows inconclusive: observed ['2013-06']" in report.reasons[0]
    assert "judge on later rows" in report.reasons[0]


def test_rows_other_than_those_of_the_subject_are_inconclusive():
    opponent = Opponent(name="models:/flight-delay/6", probability=np.full(200, 0.5))
    assert judge_champion(AUC, challenger(), opponent, subject(201)).verdict == "inconclusive"


def test_the_interval_surrounds_the_difference_and_does_not_decide():
    rows = challenger()
    noise = np.random.default_rng(1).normal(size=200)
    opponent = Opponent(name="champion", probability=np.clip(rows.probability + noise / 50, 0, 1))
    strict = ChampionGate(metric="roc_auc", direction="maximize", tolerance=0.0)
    check = judge_champion(strict, rows, opponent, subject(200)).checks[-1]
    low, high = check.interval
    assert low < 0 < high
    assert low <= check.observed <= high
    assert check.verdict == ("passed" if check.observed >= 0 else "failed")


def test_the_report_names_version_rows_and_time_and_survives_json():
    opponent = Opponent(name="models:/flight-delay/6", probability=np.full(200, 0.5))
    report = judge_champion(AUC, challenger(), opponent, subject(200))
    assert (report.gate, report.subject) == ("champion", "models:/flight-delay/7")
    assert (report.fingerprints, report.created_ms) == ({"holdout": "f00d"}, 5)
    assert from_json(GateReport, to_json(report)) == report


def test_probabilities_that_are_none_give_no_verdict():
    opponent = Opponent(name="models:/flight-delay/6", probability=np.full(200, np.nan))
    with pytest.raises(TableError, match="probability nan in 200 of 200 rows"):
        judge_champion(AUC, challenger(), opponent, subject(200))


def test_a_direction_that_rewards_the_worse_model_is_an_error():
    config = ChampionGate(metric="roc_auc", direction="minimize", tolerance=0.0)
    opponent = Opponent(name="models:/flight-delay/6", probability=np.full(200, 0.5))
    with pytest.raises(DirectionError, match="write 'direction: maximize'"):
        judge_champion(config, challenger(), opponent, subject(200))
