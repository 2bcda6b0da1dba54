"""Tables in a real MLflow store: what is logged, what comes back, what is refused."""

import datetime as dt
import json
import warnings
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from mlflow_ext.data.fingerprint import fingerprint_file, fingerprint_table
from mlflow_ext.data.versions import DigestCollisionWarning, log_table, read_table
from mlflow_ext.errors import (
    FingerprintMismatchError,
    NoActiveRunError,
    SourceError,
    StoreUnreachableError,
    TableError,
)
from mlflow_ext.records import TableFingerprint, TableVersion, from_json, to_json

ROWS = 12_000  # more than MLflow's digest reads


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "hour": pd.date_range("2013-01-01", periods=ROWS, freq="h", tz="UTC").as_unit("us"),
            "flight": rng.integers(0, 9_000, ROWS),
            "temp": np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(size=ROWS)),
            "carrier": rng.choice(["UA", "AA", None], ROWS),
            "late": rng.random(ROWS) < 0.2,
        }
    )


def log(frame, name="features"):
    with mlflow.start_run():
        return log_table(frame, name, context="training")


def tags_of(client, version):
    return client.get_run(version.run_id).data.tags


def stored(version, ending=".parquet"):
    """The file itself, inside the artifact store."""
    uri = mlflow.get_run(version.run_id).info.artifact_uri
    return (Path(uri.removeprefix("file://")) / version.path).with_suffix(ending)


def test_a_logged_table_comes_back_the_same(tracking, frame):
    version = log(frame)
    pd.testing.assert_frame_equal(read_table(version), frame)
    assert from_json(TableVersion, to_json(version)) == version


def test_every_type_and_the_index_come_back(tracking):
    frame = pd.DataFrame(
        {
            "small": pd.array([1, None, 3], "Int16"),
            "flag": pd.array([True, None, False], "boolean"),
            "day": [dt.date(2013, 1, 1), None, dt.date(2013, 1, 3)],
            "wait": pd.to_timedelta([1, None, 3], unit="s"),
            "exact": pd.date_range("2013", periods=3, tz="America/New_York").as_unit("ns"),
            "engine": pd.Categorical(["jet", None, "prop"], ["prop", "jet", "other"], ordered=True),
            "path": [["EWR", "IAH"], [], None],
        },
        index=pd.Index(["a", "b", "c"], name="key"),
    )
    back = read_table(log(frame))
    back["path"] = back["path"].map(lambda path: None if path is None else list(path))
    pd.testing.assert_frame_equal(back, frame)


def test_the_run_shows_files_tags_and_input(tracking, frame):
    version = log(frame)
    fingerprint = fingerprint_table(frame)
    files = {file.path for file in tracking.list_artifacts(version.run_id, "data")}
    assert files == {"data/features.parquet", "data/features.fingerprint.json"}
    text = stored(version, ".fingerprint.json").read_text(encoding="utf-8")
    assert from_json(TableFingerprint, text) == fingerprint == version.fingerprint
    assert tags_of(tracking, version)["mlflow_ext.fingerprint.features"] == fingerprint.digest
    (logged,) = tracking.get_run(version.run_id).inputs.dataset_inputs
    assert {tag.key: tag.value for tag in logged.tags} == {
        "mlflow.data.context": "training",
        "mlflow_ext.fingerprint": fingerprint.digest,
        "mlflow_ext.path": "data/features.parquet",
    }


def test_the_logged_dataset_has_the_digest_and_schema_of_mlflow_itself(tracking, frame):
    frame.loc[ROWS - 1, "flight"] = 1
    version = log(frame)
    (logged,) = tracking.get_run(version.run_id).inputs.dataset_inputs
    own = mlflow.data.from_pandas(frame, name="features")
    assert (logged.dataset.name, logged.dataset.digest) == ("features", own.digest)
    assert json.loads(logged.dataset.profile)["num_rows"] == ROWS
    assert json.loads(logged.dataset.schema)["mlflow_colspec"] == own.schema.to_dict()


def test_a_null_far_down_makes_a_column_optional_in_the_schema(tracking, frame):
    frame["distance"] = 1.0
    frame.loc[ROWS - 1, "distance"] = np.nan
    (logged,) = tracking.get_run(log(frame).run_id).inputs.dataset_inputs
    columns = json.loads(logged.dataset.schema)["mlflow_colspec"]
    assert {c["name"]: c["required"] for c in columns} == {
        "hour": True,
        "flight": True,
        "temp": False,
        "carrier": False,
        "late": True,
        "distance": False,
    }


def test_the_same_table_is_written_as_the_same_bytes(tracking, frame):
    one, other = log(frame), log(frame.copy())
    assert stored(one).read_bytes() == stored(other).read_bytes()
    assert fingerprint_file(stored(one)) == one.fingerprint


def edit_last_number(frame):
    frame.loc[ROWS - 1, "flight"] += 1


def flip_every_bool(frame):
    frame["late"] = ~frame["late"]


def move_every_date(frame):
    frame["hour"] += pd.Timedelta(days=365)


@pytest.mark.parametrize("edit", [edit_last_number, flip_every_bool, move_every_date])
def test_tables_that_collide_in_mlflow_are_told_apart_and_warned_of(tracking, frame, edit):
    first = log(frame)
    edit(frame)
    with pytest.warns(DigestCollisionWarning, match=f"of run {first.run_id}, but other content"):
        second = log(frame)
    digests = {
        tracking.get_run(version.run_id).inputs.dataset_inputs[0].dataset.digest
        for version in (first, second)
    }
    assert len(digests) == 1
    assert first.fingerprint.digest != second.fingerprint.digest
    warning = tags_of(tracking, second)["mlflow_ext.digest_collision.features"]
    assert second.fingerprint.digest in warning
    assert "mlflow_ext.digest_collision.features" not in tags_of(tracking, first)


def test_nothing_is_warned_of_when_tables_are_equal_or_mlflow_tells_them_apart(tracking, frame):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DigestCollisionWarning)
        log(frame)
        log(frame)
        log(frame.assign(late=False), "another_name")
        frame.loc[0, "flight"] += 1
        version = log(frame)
    assert "mlflow_ext.digest_collision.features" not in tags_of(tracking, version)


def test_a_table_that_was_changed_afterwards_is_refused(tracking, frame):
    version = log(frame)
    frame.loc[ROWS - 1, "late"] = not frame.loc[ROWS - 1, "late"]
    frame.to_parquet(stored(version))
    with pytest.raises(FingerprintMismatchError, match=version.fingerprint.digest):
        read_table(version)


def test_the_same_rows_in_another_layout_are_accepted(tracking, frame):
    version = log(frame)
    path = stored(version)
    parquet.write_table(parquet.read_table(path), path, row_group_size=500, compression="none")
    pd.testing.assert_frame_equal(read_table(version), frame)


def test_a_truncated_artifact_is_refused(tracking, frame):
    version = log(frame)
    path = stored(version)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match=f"runs:/{version.run_id}/data/features.parquet"):
        read_table(version)


def test_a_deleted_artifact_is_an_unreachable_store(tracking, frame):
    version = log(frame)
    stored(version).unlink()
    with pytest.raises(StoreUnreachableError, match=f"runs:/{version.run_id}"):
        read_table(version)


def test_an_unwritable_artifact_store_is_named(tracking, tmp_path, frame):
    (tmp_path / "file").write_text("a file where a folder should be")
    place = str(tmp_path / "file" / "artifacts")
    mlflow.set_experiment(experiment_id=tracking.create_experiment("unwritable", place))
    with pytest.raises(StoreUnreachableError, match="artifact store at") as error:
        log(frame)
    assert error.value.uri.startswith(place)


def test_an_empty_table_is_refused(tracking, frame):
    with pytest.raises(TableError, match="table 'features': it is empty"):
        log(frame[:0])


def test_a_table_without_a_run_is_refused(tracking, frame):
    with pytest.raises(NoActiveRunError, match="no MLflow run is active"):
        log_table(frame, "features", context="training")
    assert mlflow.active_run() is None


@pytest.mark.slow
def test_a_table_survives_the_way_through_a_server(tracking, server, frame):
    mlflow.set_tracking_uri(server)
    mlflow.set_experiment("served")
    version = log(frame)
    pd.testing.assert_frame_equal(read_table(version), frame)
