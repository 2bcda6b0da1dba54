"""A child run says all that its trial holds, in words that MLflow and its databases take."""

import math
import re
from dataclasses import replace

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial
from pydantic import ValidationError
from told_study import NAME, open_told, tell_trials

from mlflow_ext.project import IntRange, Search
from mlflow_ext.tuning.attributes import (
    BOUNDED,
    EXCESS,
    NON_FINITE,
    REASON,
    STATE,
    STUDY,
    STUDY_ID,
    TRIAL,
)
from mlflow_ext.tuning.mirror.content import content_of
from mlflow_ext.tuning.mirror.place import PARENT, StudyRun

PLACE = StudyRun(
    client=None,
    experiment_id="7",
    parent_run_id="p" * 32,
    metrics=("roc_auc",),
    tags={STUDY: NAME, STUDY_ID: "s" * 32, PARENT: "p" * 32, "mlflow.user": "ann"},
)
ODD = {
    "a'b[0]": 1.0,
    "a'b(0)": 2.0,
    "x//y": 3.0,
    "..": 4.0,
    "é:ü 日": 5.0,
    "p" * 300: 6.0,
    " ": 7.0,
}


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    return tell_trials(open_told(tmp_path_factory.mktemp("told"))).trials


def values(content, key):
    return [(p.step, p.value, p.timestamp_ms) for p in content.metrics if p.key == key]


def end_of(trial):
    return round(trial.datetime_complete.timestamp() * 1000)


def test_a_completed_trial_has_ended_well_with_all_it_holds(trials):
    trial, run = trials[0], content_of(PLACE, trials[0])

    assert (run.name, run.status) == ("trial-0000", "FINISHED")
    assert (run.start_ms, run.end_ms) == (
        round(trial.datetime_start.timestamp() * 1000),
        end_of(trial),
    )
    assert sorted(run.params.values()) == sorted(str(value) for value in trial.params.values())
    assert run.params["x"] == str(trial.params["x"])
    assert values(run, "roc_auc") == [(0, trial.value, end_of(trial))]
    assert values(run, "intermediate/roc_auc") == [
        (0, trial.intermediate_values[0], 1_700_000_000_000),
        (1, trial.intermediate_values[1], 1_700_000_001_000),
    ]
    assert values(run, "trial") == [(0, 0.0, end_of(trial))]
    assert values(run, "duration_seconds") == [
        (0, trial.duration.total_seconds(), end_of(trial)),
    ]
    assert run.tags.items() >= {STATE: "COMPLETE", TRIAL: "0", **PLACE.tags}.items()
    assert "green" in run.tags.values()


@pytest.mark.parametrize(("state", "shown"), [("COMPLETE", [0.125]), ("PRUNED", [])])
def test_what_a_constraint_bounds_is_a_metric_of_a_trial_that_saw_all_rows(state, shown):
    bounded = {"brier": 0.125, "roc_auc": 0.5, "ece": math.inf}
    attributes = {BOUNDED: bounded, EXCESS: [-0.075, 0.0, math.inf]}
    value = 0.75 if state == "COMPLETE" else None
    trial = create_trial(state=TrialState[state], value=value, user_attrs=attributes)
    run = content_of(PLACE, trial)

    assert [found for _, found, _ in values(run, "brier")] == shown
    assert values(run, "ece") == []
    assert run.tags[EXCESS] == "[-0.075, 0.0, Infinity]"
    assert BOUNDED not in run.tags
    assert [found for _, found, _ in values(run, "roc_auc")] == ([0.75] if shown else [])


def test_a_pruned_trial_was_killed_and_has_a_reason_and_no_final_value(trials):
    run = content_of(PLACE, trials[1])

    assert (run.status, run.tags[STATE]) == ("KILLED", "PRUNED")
    assert "pruned after step 0" in run.tags[REASON]
    assert values(run, "roc_auc") == []
    assert len(values(run, "intermediate/roc_auc")) == 1


def test_a_failed_trial_has_failed_with_its_exception(trials):
    run = content_of(PLACE, trials[2])

    assert (run.status, run.tags[STATE]) == ("FAILED", "FAIL")
    assert run.tags[REASON].startswith("RuntimeError: boom boom")
    assert len(run.tags[REASON]) == 8000


def test_values_no_chart_can_show_are_named_instead_of_falsified(trials):
    nan_reported, infinite = content_of(PLACE, trials[3]), content_of(PLACE, trials[4])

    assert nan_reported.tags[NON_FINITE] == "step 1: nan"
    assert infinite.tags[NON_FINITE] == "value: -inf"
    assert values(infinite, "roc_auc") == []
    points = [point for trial in trials for point in content_of(PLACE, trial).metrics]
    assert all(math.isfinite(point.value) for point in points)


def test_every_objective_has_a_metric_of_its_own():
    trial = create_trial(values=[0.5, math.inf, 3.0])
    names = ("roc_auc", "brier", "seconds")
    run = content_of(replace(PLACE, metrics=names), trial)

    assert [values(run, name)[0][1] for name in ("roc_auc", "seconds")] == [0.5, 3.0]
    assert values(run, "brier") == []
    assert run.tags[NON_FINITE] == "value 1: inf"


def test_odd_names_stay_distinct_in_letters_that_mlflow_takes():
    trial = create_trial(
        params=ODD, distributions={name: FloatDistribution(0, 9) for name in ODD}, value=1.0
    )
    run = content_of(PLACE, trial)

    assert sorted(run.params.values()) == sorted(map(str, ODD.values()))
    assert all(re.fullmatch(r"[\w.\- /]{1,250}", key) for key in run.params)
    assert any(key.startswith("a_b_0_-") for key in run.params)


def test_texts_lose_what_a_database_refuses_and_what_is_too_long():
    texts = ["a\0b", "\ud800", "x" * 9000]
    trial = create_trial(
        params={"p": texts[2], "q": texts[0]},
        distributions={name: CategoricalDistribution(texts) for name in "pq"},
        user_attrs={"nul": "a\0b", "half \ud800": "\ud800"},
        value=1.0,
    )
    run = content_of(PLACE, trial)

    assert len(run.params["p"]) == 6000
    assert (run.params["q"], run.tags["nul"]) == (r"a\x00b", r"a\x00b")
    assert r"\ud800" in run.tags.values()
    assert all(text.encode() and "\0" not in text for text in run.tags.values())


def test_an_attribute_of_a_trial_means_nothing_to_mlflow():
    attributes = {"mlflow.runName": "mine", PARENT: "elsewhere", "mlflow.user": "eve"}
    run = content_of(PLACE, create_trial(user_attrs=attributes, value=1.0))

    assert run.tags.items() >= PLACE.tags.items()
    assert "mlflow.runName" not in run.tags
    assert {f"trial.{key}" for key in attributes} <= set(run.tags)


def test_an_attribute_that_is_no_text_is_written_as_json():
    attributes = {"ok": True, "none": None, "list": [1, "é"], "map": {"a": None}, "text": "True"}
    run = content_of(PLACE, create_trial(user_attrs=attributes, value=1.0))

    assert {key: run.tags[key] for key in attributes} == {
        "ok": "true",
        "none": "null",
        "list": '[1, "é"]',
        "map": '{"a": null}',
        "text": "True",
    }


def test_no_metric_of_a_search_is_called_like_what_a_run_says_of_its_trial(trials):
    own = {point.key for point in content_of(PLACE, trials[0]).metrics} - {"roc_auc"}
    base = {"estimator": "a.B", "space": {"x": IntRange(type="int", low=0, high=1)}}

    assert own == {"trial", "duration_seconds", "intermediate/roc_auc"}
    for name in ("trial", "duration_seconds"):
        with pytest.raises(ValidationError, match=f"'{name}' of its own"):
            Search(**base, metric=name, direction="maximize")


def test_a_trial_that_was_pruned_before_any_step_says_so():
    run = content_of(PLACE, create_trial(state=TrialState.PRUNED))

    assert "pruned before any step" in run.tags[REASON]


def test_a_trial_has_one_identity_in_an_experiment_whoever_asks(trials):
    elsewhere = replace(PLACE, experiment_id="8")
    later = replace(PLACE, parent_run_id="q" * 32)
    ids = [content_of(PLACE, trial).run_id for trial in trials]

    assert len(set(ids)) == len(trials)
    assert [content_of(later, trial).run_id for trial in trials] == ids
    assert not {content_of(elsewhere, trial).run_id for trial in trials} & set(ids)


def test_the_children_of_a_study_lie_side_by_side_in_the_order_of_their_trials():
    ids = [PLACE.child_id(number) for number in (0, 9, 10, 255, 256, 2**32 - 1)]

    assert ids == sorted(ids)
    assert len({run_id[:24] for run_id in ids}) == 1
    assert all(re.fullmatch("[0-9a-f]{32}", run_id) for run_id in ids)
