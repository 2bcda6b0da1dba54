"""A bulk of runs leaves what single calls leave, all of it or nothing, once."""

import threading

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sample_runs import METRICS, dump, make_run

from mlflow_ext.errors import BulkError
from mlflow_ext.tracking.bulk import Receipt, write_bulk
from mlflow_ext.tracking.runs import MAX_RUNS, RUNS_PER_BATCH, MetricPoint, batches
from mlflow_ext.tracking.writer import CallsWriter, DatabaseWriter, open_writer

TWELVE = [make_run(number) for number in range(12)]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path, monkeypatch):
    """MLflow's own store on either database."""
    if request.param == "sqlite":
        request.getfixturevalue("tracking")
        uri = f"sqlite:///{tmp_path}/mlflow.db"
    else:
        uri = request.getfixturevalue("postgres_store")
    opened = SqlAlchemyStore(uri, str(tmp_path / "files"))
    yield opened
    opened._dispose_engine()


@pytest.fixture
def sqlite_store(tracking, tmp_path):
    return SqlAlchemyStore(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "files"))


class BesideAnother(SqlAlchemyStore):
    """A database in which somebody deletes each run of odd number once it says something."""

    def log_batch(self, run_id, metrics, params, tags):
        super().log_batch(run_id, metrics, params, tags)
        if int(self.get_run(run_id).info.run_name.removeprefix("run-")) % 2:
            self.delete_run(run_id)


def test_runs_that_are_deleted_while_they_are_written_keep_no_other_from_being_written(
    tracking, tmp_path
):
    store = BesideAnother(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "files"))
    experiment = store.create_experiment("shared")

    CallsWriter(store).write(experiment, TWELVE, {})

    runs = tracking.search_runs([experiment])
    assert {run.info.run_name for run in runs} == {f"run-{number}" for number in range(0, 12, 2)}
    assert {run.info.status for run in runs} == {
        TWELVE[number].status for number in range(0, 12, 2)
    }
    store._dispose_engine()


def test_the_rows_are_those_of_single_calls(store):
    one_by_one, at_once = (store.create_experiment(name) for name in ("single", "bulk"))
    CallsWriter(store).write(one_by_one, TWELVE, {})

    assert write_bulk(store, at_once, TWELVE) == Receipt(made=12, kept=0)
    expected = dump(store, one_by_one)
    assert dump(store, at_once) == expected
    assert [len(rows) for rows in expected.values()] == [12, 24, 84, 48, 36]


def test_the_same_call_again_changes_nothing(store):
    experiment = store.create_experiment("bulk")
    write_bulk(store, experiment, TWELVE)
    before = dump(store, experiment)

    assert write_bulk(store, experiment, TWELVE) == Receipt(made=0, kept=12)
    assert dump(store, experiment) == before


def test_calls_at_the_same_time_leave_each_run_once(store):
    experiment = store.create_experiment("bulk")
    ready, failures = threading.Barrier(4), []

    def send(runs):
        ready.wait()
        try:
            write_bulk(store, experiment, runs)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=send, args=(TWELVE[:: (-1) ** n],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    write_bulk(store, store.create_experiment("other"), [make_run(99)])
    assert len(dump(store, experiment)["runs"]) == 12
    assert len(dump(store, experiment)["metrics"]) == 84


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"run_id": "mine"}, "'mine' is not 32 hexadecimal digits"),
        ({"run_id": TWELVE[0].run_id}, "is there twice"),
        ({"name": ""}, "the name is not 1 to 250"),
        ({"name": "x" * 251}, "the name is not 1 to 250"),
        ({"start_ms": -1}, "before 1970"),
        ({"start_ms": 2**63}, "more than a database holds"),
        ({"end_ms": 10**30}, "more than a database holds"),
        ({"tags": {"mlflow.runName": "other"}}, "'mlflow.runName' is not the name"),
        ({"tags": {"a[0]": "x"}}, '"a[0]"'),
        ({"params": {"../up": "x"}}, '"../up"'),
        ({"params": {"k" * 251: "x"}}, "exceeds"),
        ({"metrics": [MetricPoint("a'b", 1.0, 0, 0)]}, "a'b"),
        ({"metrics": [MetricPoint("m", "high", 0, 0)]}, "metrics[0].value"),
        ({"metrics": [MetricPoint("m", 1.0, -1, 0)]}, "metrics[0].timestamp"),
        ({"metrics": [MetricPoint("m", 1.0, 2**63, 0)]}, "metrics[0]"),
        ({"metrics": [MetricPoint("m", 1.0, 0, 10**30)]}, "metrics[0]"),
        ({"metrics": [MetricPoint("m", 1.0, 0, -(2**63) - 1)]}, "metrics[0]"),
    ],
)
def test_one_wrong_run_refuses_all_with_its_place_and_the_reason(sqlite_store, changes, reason):
    experiment = sqlite_store.create_experiment("bulk")
    runs = [*TWELVE[:3], make_run(50, **changes)]

    with pytest.raises(BulkError) as error:
        write_bulk(sqlite_store, experiment, runs)
    assert error.value.index == 3
    assert reason in error.value.found
    assert dump(sqlite_store, experiment)["runs"] == []


def test_a_run_of_another_experiment_is_not_touched(store):
    theirs, mine = (store.create_experiment(name) for name in ("theirs", "mine"))
    write_bulk(store, theirs, TWELVE[:1])
    before = dump(store, theirs)

    with pytest.raises(BulkError, match=r"run 2 of the call: .* is in another experiment"):
        write_bulk(store, mine, [*TWELVE[1:3], make_run(0, tags={"note": "taken"})])
    assert dump(store, theirs) == before
    assert dump(store, mine)["runs"] == []


def test_too_many_runs_are_refused_with_the_limit(sqlite_store):
    experiment = sqlite_store.create_experiment("bulk")

    with pytest.raises(BulkError, match=f"{MAX_RUNS + 1} runs in one call") as error:
        write_bulk(sqlite_store, experiment, [make_run(0)] * (MAX_RUNS + 1))
    assert error.value.expected == f"at most {MAX_RUNS}"


def test_an_experiment_must_exist_and_be_active(sqlite_store):
    experiment = sqlite_store.create_experiment("bulk")
    sqlite_store.delete_experiment(experiment)

    with pytest.raises(MlflowException, match="is deleted"):
        write_bulk(sqlite_store, experiment, TWELVE)
    with pytest.raises(MlflowException, match="No Experiment with id=777"):
        write_bulk(sqlite_store, "777", TWELVE)


def test_a_run_that_a_crash_left_half_written_is_completed(store):
    at_once, later = (store.create_experiment(name) for name in ("bulk", "later"))
    write_bulk(store, at_once, TWELVE)
    half = TWELVE[0]
    begun = store.create_run(later, "ann", half.start_ms, [], half.name).info.run_id
    store.log_batch(begun, [mlflow.entities.Metric(*point) for point in METRICS[:3]], [], [])
    runs = [make_run(0, run_id=begun), *(make_run(n, run_id=f"{n:032x}") for n in range(1, 12))]

    DatabaseWriter(store).write(later, runs, {begun: True})
    assert dump(store, later) == dump(store, at_once)


def test_a_run_that_somebody_is_logging_keeps_all_of_it_and_goes_on(store):
    experiment = store.create_experiment("bulk")
    theirs = store.create_run(experiment, "eve", 5, [], "at work").info.run_id
    store.log_batch(theirs, [mlflow.entities.Metric("half", 1.0, 1, 1)], [], [])
    before = store.get_run(theirs)

    written = write_bulk(store, experiment, [TWELVE[1], make_run(0, run_id=theirs)])
    assert written == Receipt(made=1, kept=1)
    run = store.get_run(theirs)
    assert run.info == before.info
    assert (run.data.metrics, run.data.params) == ({"half": 1.0}, {})
    assert run.data.tags.items() >= {**before.data.tags, **TWELVE[0].tags}.items()


def test_a_run_that_has_ended_keeps_its_content_its_name_and_the_notes_of_others(store):
    experiment = store.create_experiment("bulk")
    write_bulk(store, experiment, TWELVE[:2])
    run_id = TWELVE[0].run_id
    store.set_tag(run_id, mlflow.entities.RunTag("mlflow.runName", "my favourite"))
    store.set_tag(run_id, mlflow.entities.RunTag("mlflow.note.content", "look here"))
    again = make_run(0, status="FAILED", params={"depth": "9"}, tags={"note": "new", "more": "x"})

    assert write_bulk(store, experiment, [again]) == Receipt(made=0, kept=1)
    run = store.get_run(run_id)
    assert (run.info.run_name, run.info.status, run.data.params["depth"]) == (
        "my favourite",
        "FINISHED",
        "0",
    )
    assert run.data.tags["mlflow.note.content"] == "look here"
    assert (run.data.tags["note"], run.data.tags["more"]) == ("new", "x")


def test_a_deleted_run_is_back(store):
    experiment = store.create_experiment("bulk")
    write_bulk(store, experiment, TWELVE)
    before = dump(store, experiment)
    store.delete_run(TWELVE[3].run_id)
    assert dump(store, experiment) != before

    write_bulk(store, experiment, TWELVE)
    assert dump(store, experiment) == before


def test_another_workspace_is_out_of_reach(tracking, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    from mlflow.store.tracking.sqlalchemy_workspace_store import WorkspaceAwareSqlAlchemyStore
    from mlflow.utils.workspace_context import WorkspaceContext

    store = WorkspaceAwareSqlAlchemyStore(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path))
    with WorkspaceContext("default"):
        experiment = store.create_experiment("bulk")
        write_bulk(store, experiment, TWELVE[:1])
    with (
        WorkspaceContext("elsewhere"),
        pytest.raises(MlflowException, match="No Experiment with id"),
    ):
        write_bulk(store, experiment, TWELVE[1:])
    with WorkspaceContext("default"):
        assert len(store.search_runs([experiment], "", 1)) == 1


def test_batches_hold_so_many_runs_and_so_much_text():
    many = [make_run(number) for number in range(2 * RUNS_PER_BATCH + 1)]
    long = [make_run(number, tags={"note": "x" * 250_000}) for number in range(5)]
    enormous = make_run(9, metrics=[MetricPoint("m", 1.0, 0, n) for n in range(100_000)])

    assert [len(b) for b in batches(many)] == [RUNS_PER_BATCH, RUNS_PER_BATCH, 1]
    assert [len(b) for b in batches(long)] == [2, 2, 1]
    assert [len(b) for b in batches([TWELVE[0], enormous, TWELVE[1]])] == [1, 1, 1]
    assert [run for batch in batches(many) for run in batch] == many


def test_a_local_database_is_written_in_bulk_and_a_refused_run_stays_behind_alone(tracking):
    experiment = tracking.create_experiment("bulk")
    writer = open_writer(tracking)
    bad = make_run(50, params={"a[0]": "x"})

    assert writer.is_idempotent
    with pytest.raises(BulkError, match="a\\[0\\]"):
        writer.write(experiment, [*TWELVE[:5], bad, *TWELVE[5:]], {})
    assert len(tracking.search_runs([experiment])) == 12
