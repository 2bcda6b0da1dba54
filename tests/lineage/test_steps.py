"""Steps: run once, reused while nothing changed, continued after a failure. Real MLflow."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass

import mlflow
import pandas as pd
import pytest

from mlflow_ext.data.versions import log_table
from mlflow_ext.lineage.steps import (
    KEY_TAG,
    PROCESS_TAG,
    Flow,
    InputFile,
    Step,
    end_dead_runs,
    identity,
    run_flow,
)
from mlflow_ext.records import TableVersion

CALLS = []


@dataclass(frozen=True, kw_only=True)
class Loaded:
    table: TableVersion


@dataclass(frozen=True, kw_only=True)
class Counted:
    rows: int
    refusals: tuple[str, ...] = ()


def load(size: int) -> Loaded:
    CALLS.append("load")
    return Loaded(table=log_table(pd.DataFrame({"x": range(size)}), "numbers", context="t"))


def count(load: Loaded, limit: int) -> Counted:
    CALLS.append("count")
    if limit < 0:
        raise ValueError("a limit below zero")
    rows = load.table.fingerprint.rows
    return Counted(rows=rows, refusals=("too many rows",) if rows > limit else ())


def report(count: Counted) -> Counted:
    CALLS.append("report")
    return Counted(rows=count.rows)


STEPS = (Step(function=load), Step(function=count), Step(function=report))


@pytest.fixture(autouse=True)
def _forget_calls():
    CALLS.clear()


def go(size=3, limit=10, until="report", steps=STEPS, reuse=True):
    """Run the flow under a new parent run; returns what each step did, in order."""
    CALLS.clear()
    flow = Flow(steps=steps, settings={"size": size, "limit": limit}, reuse=reuse)
    with mlflow.start_run():
        return run_flow(flow, until=until, announce=lambda _outcome: None)


def statuses(outcomes):
    return {outcome.name: outcome.status for outcome in outcomes}


def runs_of(client, step):
    experiment = client.get_experiment_by_name("test").experiment_id
    return client.search_runs([experiment], f"tags.`mlflow_ext.step` = '{step}'")


def test_first_call_runs_every_step_as_a_child_of_the_parent(tracking):
    outcomes = go()
    assert CALLS == ["load", "count", "report"]
    parents = {runs_of(tracking, s.name)[0].data.tags["mlflow.parentRunId"] for s in STEPS}
    assert len(parents) == 1
    assert outcomes[-1].output == Counted(rows=3)


def test_second_call_reuses_everything_and_returns_the_same(tracking):
    first, second = go(), go()
    assert CALLS == []
    assert set(statuses(second).values()) == {"reused"}
    assert [o.output for o in second] == [o.output for o in first]
    assert [o.run_id for o in second] == [o.run_id for o in first]


def test_changed_setting_reruns_the_steps_that_read_it(tracking):
    go()
    assert statuses(go(limit=11)) == {"load": "reused", "count": "ran", "report": "reused"}


def test_same_content_written_anew_does_not_rerun_what_follows(tracking):
    """Inputs count by what they hold: `load` runs again, its rows are equal, `count` is reused."""
    go()
    tracking.delete_run(runs_of(tracking, "load")[0].info.run_id)
    assert statuses(go()) == {"load": "ran", "count": "reused", "report": "reused"}


def test_other_content_reruns_what_follows(tracking):
    go()
    assert statuses(go(size=4)) == {"load": "ran", "count": "ran", "report": "ran"}


def test_reuse_can_be_switched_off(tracking):
    go()
    assert set(statuses(go(reuse=False)).values()) == {"ran"}


def test_until_stops_after_the_step_asked_for(tracking):
    assert statuses(go(until="count")) == {"load": "ran", "count": "ran"}


def test_refusal_stops_the_flow_and_is_judged_again_next_time(tracking):
    outcomes = go(size=20)
    assert statuses(outcomes) == {"load": "ran", "count": "refused"}
    assert outcomes[-1].output.refusals == ("too many rows",)
    assert runs_of(tracking, "count")[0].info.status == "FAILED"
    assert statuses(go(size=20)) == {"load": "reused", "count": "refused"}


def test_after_a_failure_the_next_call_continues_where_it_stopped(tracking):
    with pytest.raises(ValueError, match="below zero"):
        go(limit=-1)
    assert runs_of(tracking, "count")[0].info.status == "FAILED"
    assert statuses(go()) == {"load": "reused", "count": "ran", "report": "ran"}


def test_output_whose_files_are_gone_is_made_again(tracking, tmp_path):
    go()
    for file in tmp_path.rglob("numbers.parquet"):
        file.unlink()
    assert statuses(go())["load"] == "ran"


def test_step_that_no_longer_holds_runs_again(tracking):
    go()
    doubtful = Step(function=report, still_holds=lambda output: output.rows > 3)
    assert statuses(go(steps=(*STEPS[:2], doubtful)))["report"] == "ran"


def test_step_that_looks_at_the_world_always_runs(tracking):
    steps = (*STEPS[:2], Step(function=report, is_reusable=False))
    go(steps=steps)
    assert statuses(go(steps=steps))["report"] == "ran"


def test_run_of_a_killed_process_is_ended_and_a_living_one_is_not(tracking, tmp_path):
    script = textwrap.dedent(f"""
        import mlflow, os, signal
        from mlflow_ext.process import current_process
        mlflow.set_experiment("test")
        mlflow.start_run(tags={{{PROCESS_TAG!r}: current_process()}})
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    from mlflow_ext.process import current_process

    with mlflow.start_run(tags={PROCESS_TAG: current_process()}) as alive:
        experiment = alive.info.experiment_id
        (ended,) = end_dead_runs(tracking, experiment)
        assert tracking.get_run(alive.info.run_id).info.status == "RUNNING"
    assert tracking.get_run(ended).info.status == "KILLED"
    assert "process died" in tracking.get_run(ended).data.tags["mlflow_ext.ended"]


def test_output_and_key_are_stored_with_the_run(tracking):
    outcome = go()[1]
    stored = mlflow.artifacts.load_text(f"runs:/{outcome.run_id}/step/output.json")
    assert json.loads(stored)["rows"] == 3
    assert len(tracking.get_run(outcome.run_id).data.tags[KEY_TAG]) == 64


def test_file_is_identified_by_its_bytes_not_its_place(tmp_path):
    one, other = tmp_path / "a.json", tmp_path / "b.json"
    one.write_text("{}")
    other.write_text("{}")
    assert identity(InputFile.at(one)) == identity(InputFile.at(other))
    other.write_text("{ }")
    assert identity(InputFile.at(one)) != identity(InputFile.at(other))
