"""Two who promote at one moment: MLflow alone leaves both in Production, the gated registry one."""

import multiprocessing

import mlflow
import pytest
import sqlalchemy as sa
from gated_shop import ALIAS_ONLY, MODEL, GatedShop, on_each_database, race_two_stores
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import create_sqlalchemy_engine
from together import together

from mlflow_ext.records import Kind
from mlflow_ext.registry.gated.schema import prepare
from mlflow_ext.registry.gated.tables import SCHEMA_VERSION, ledger, metadata, schema

ROUNDS = 15
MANY = 400
"""Rounds after which a race that MLflow loses in half of them was lost for certain."""
PROCESSES = 3

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def alias_only(tmp_path, monkeypatch):
    """Everything may go to Production; file of that policy."""
    file = tmp_path / "policy.yaml"
    file.write_text(ALIAS_ONLY)
    monkeypatch.setenv("MLFLOW_EXT_DEFAULT_POLICY", str(file))
    return file


def promoter(client, version):
    return lambda: client.transition_model_version_stage(
        MODEL, str(version), "Production", archive_existing_versions=True
    )


def in_production(client):
    found = client.search_model_versions(f"name='{MODEL}'")
    return [int(v.version) for v in found if v.current_stage == "Production"]


@on_each_database
def test_mlflow_alone_leaves_two_versions_in_production(mlflow_database):
    client = mlflow.MlflowClient(tracking_uri=mlflow_database, registry_uri=mlflow_database)
    client.create_registered_model(MODEL)
    for _ in range(2):
        client.create_model_version(MODEL, "s3://bucket/model")
    for _ in range(MANY):
        assert together(promoter(client, 1), promoter(client, 2)) == []
        if len(in_production(client)) == 2:
            break
        for version in ("1", "2"):
            client.transition_model_version_stage(MODEL, version, "Archived")
    assert sorted(in_production(client)) == [1, 2]
    client._get_registry_client().store._dispose_engine()


@on_each_database
def test_the_gated_registry_leaves_one(alias_only, gated):
    gated.add_versions(2)
    for _ in range(ROUNDS):
        assert together(promoter(gated.client, 1), promoter(gated.client, 2)) == []
        [version] = in_production(gated.client)
        assert gated.state()[1] == {"champion": version}
        gated.promote(version, stage="Archived")
    assert gated.breaks() == []


@on_each_database
def test_two_stores_on_one_database_leave_one(alias_only, gated):
    race_two_stores(gated, ROUNDS)


@on_each_database
def test_an_alias_and_a_stage_that_are_set_at_once_agree(alias_only, gated):
    gated.add_versions(3)
    client = gated.client
    for _ in range(ROUNDS):
        moves = [
            lambda: client.set_registered_model_alias(MODEL, "champion", "1"),
            promoter(client, 2),
            lambda: client.set_registered_model_alias(MODEL, "champion", "3"),
        ]
        assert together(*moves) == []
        [version] = in_production(client)
        assert gated.state()[1] == {"champion": version}
    assert gated.breaks() == []


@on_each_database
def test_each_move_at_one_moment_has_its_line(alias_only, gated):
    """What the ledger tells, read from its beginning, is what the registry holds."""
    gated.add_versions(4)
    for _ in range(3):
        assert together(*(promoter(gated.client, v) for v in (1, 2, 3, 4))) == []
    stages = dict.fromkeys((1, 2, 3, 4), "None")
    for line in gated.lines(Kind.TRANSITION):
        told = line.body["transition"]
        assert told["from_stage"] == stages[line.version]
        stages[line.version] = told["to_stage"]
    assert stages == gated.state()[0]


@on_each_database
def test_deleting_and_promoting_at_one_moment_exclude_each_other(gated):
    for _ in range(5):
        version = int(next_version(gated).version)
        gated.judge(version)
        errors = together(
            lambda v=version: gated.promote(v),
            lambda v=version: gated.client.delete_model_version(MODEL, str(v)),
        )
        assert len(errors) == 1
        assert isinstance(errors[0], MlflowException)
        is_there = gated.state()[0].get(version) == "Production"
        assert errors[0].error_code == (
            "PERMISSION_DENIED" if is_there else "RESOURCE_DOES_NOT_EXIST"
        )
    assert gated.breaks() == []


def next_version(shop):
    if not shop.client.search_registered_models(f"name='{MODEL}'"):
        shop.client.create_registered_model(MODEL)
    return shop.add_version()


@on_each_database
def test_versions_that_are_created_at_one_moment_are_all_there(gated):
    gated.client.create_registered_model(MODEL)

    def create():
        return gated.client.create_model_version(MODEL, "s3://bucket/model")

    errors = together(*[create] * 2)
    assert errors == []
    assert sorted(gated.state()[0]) == [1, 2]
    assert sorted(line.version for line in gated.lines(Kind.REGISTRATION)) == [1, 2]
    assert gated.breaks() == []


def promote_in_a_process(uri, folder, barrier, version, rounds):
    barrier.wait()
    shop = GatedShop(uri, folder)
    barrier.wait()
    for _ in range(rounds):
        shop.promote(version)


@on_each_database
def test_processes_that_start_and_promote_at_once_leave_one(
    alias_only, server_key, mlflow_database, tmp_path
):
    """The tables are not there yet: each process finds them missing and makes them."""
    uri, folder = mlflow_database, tmp_path
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.create_registered_model(MODEL)
    for _ in range(PROCESSES):
        client.create_model_version(MODEL, "s3://bucket/model")
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(PROCESSES)
    processes = [
        spawn.Process(target=promote_in_a_process, args=(uri, folder, barrier, version, 10))
        for version in range(1, PROCESSES + 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    shop = GatedShop(uri, folder)
    [version] = in_production(shop.client)
    assert shop.state()[1] == {"champion": version}
    assert shop.breaks() == []
    shop.store._dispose_engine()


@on_each_database
def test_stores_that_start_at_once_make_the_tables_once(mlflow_database):
    for _ in range(5):
        engines = [create_sqlalchemy_engine(mlflow_database) for _ in range(6)]
        assert together(*(lambda e=e: prepare(e) for e in engines)) == []
        with engines[0].connect() as connection:
            found = connection.execute(sa.select(schema.c.version)).scalars().all()
            assert found == [SCHEMA_VERSION]
            assert connection.execute(sa.select(ledger)).all() == []
        metadata.drop_all(engines[0])
        for engine in engines:
            engine.dispose()
