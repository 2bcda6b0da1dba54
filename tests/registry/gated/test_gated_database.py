"""The suite's own tables beside MLflow's: created, migrated, left alone, and missed."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import mlflow
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from gated_shop import MODEL, GatedShop, on_each_database
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import create_sqlalchemy_engine

from mlflow_ext.errors import LedgerError
from mlflow_ext.plugins.registry_store import build_registry_store
from mlflow_ext.records import Kind
from mlflow_ext.registry.gated.schema import prepare
from mlflow_ext.registry.gated.tables import SCHEMA_VERSION, about_index, schema


@pytest.fixture
def engine(mlflow_database):
    opened = create_sqlalchemy_engine(mlflow_database)
    yield opened
    opened.dispose()


def version_of(engine):
    with engine.connect() as connection:
        return connection.execute(sa.select(schema.c.version)).scalars().all()


@on_each_database
def test_preparing_again_changes_nothing(gated):
    gated.add_versions(1)
    before = gated.lines()
    prepare(gated.store.engine)
    assert gated.lines() == before
    assert version_of(gated.store.engine) == [SCHEMA_VERSION]


@on_each_database
def test_tables_of_a_newer_version_are_left_alone(engine):
    prepare(engine)
    with engine.begin() as connection:
        connection.execute(schema.update().values(version=SCHEMA_VERSION + 1))
    with pytest.raises(LedgerError, match="pip install --upgrade mlflow-ext") as error:
        prepare(engine)
    assert f"of version {SCHEMA_VERSION + 1}" in error.value.found
    assert version_of(engine) == [SCHEMA_VERSION + 1]


def test_a_store_over_newer_tables_does_not_open(gated):
    gated.execute(f"UPDATE mlflow_ext_schema SET version = {SCHEMA_VERSION + 1}")
    with pytest.raises(LedgerError, match=f"version {SCHEMA_VERSION} or older"):
        build_registry_store(f"gated+{gated.uri}")


def widen(connection):
    connection.execute(sa.text("ALTER TABLE mlflow_ext_ledger ADD COLUMN note TEXT"))


def mark(connection):
    connection.execute(sa.text("UPDATE mlflow_ext_ledger SET note = 'migrated'"))


@on_each_database
def test_older_tables_are_migrated_step_by_step_and_once(gated):
    gated.add_versions(1)
    steps = {SCHEMA_VERSION: widen, SCHEMA_VERSION + 1: mark}
    for _ in range(2):
        prepare(gated.store.engine, steps, SCHEMA_VERSION + 2)
    assert version_of(gated.store.engine) == [SCHEMA_VERSION + 2]
    assert gated.execute("UPDATE mlflow_ext_ledger SET note = 'x' WHERE note = 'migrated'") == 1


@on_each_database
def test_tables_of_the_first_version_get_the_index_that_they_lack(gated):
    engine = gated.store.engine
    about_index.drop(engine)
    gated.execute("UPDATE mlflow_ext_schema SET version = 1")
    prepare(engine)
    assert version_of(engine) == [SCHEMA_VERSION]
    names = {index["name"] for index in sa.inspect(engine).get_indexes("mlflow_ext_ledger")}
    assert about_index.name in names


@on_each_database
def test_a_migration_that_fails_leaves_the_version_as_it_was(engine):
    prepare(engine)

    def fail(connection):
        connection.execute(sa.text("UPDATE mlflow_ext_schema SET version = 77"))
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        prepare(engine, {SCHEMA_VERSION: fail}, SCHEMA_VERSION + 1)
    assert version_of(engine) == [SCHEMA_VERSION]


def test_the_gated_store_opens_an_empty_database_and_mlflow_goes_on_with_it(tmp_path, server_key):
    uri = f"sqlite:///{tmp_path}/new.db"
    shop = GatedShop(uri, tmp_path)
    shop.add_versions(1)
    plain = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    assert [model.name for model in plain.search_registered_models()] == [MODEL]
    assert plain.create_experiment("after") != "0"
    shop.store._dispose_engine()


def upgrade(uri):
    from mlflow.db import commands

    return CliRunner().invoke(commands, ["upgrade", uri], catch_exceptions=False)


def test_mlflow_upgrades_a_database_that_holds_our_tables(tmp_path, server_key):
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config, _get_schema_version
    from mlflow.store.tracking.dbmodels.initial_models import Base

    uri = f"sqlite:///{tmp_path}/old.db"
    engine = create_sqlalchemy_engine(uri)
    Base.metadata.create_all(engine)
    config = _get_alembic_config(uri)
    [head] = ScriptDirectory.from_config(config).get_heads()
    older = ScriptDirectory.from_config(config).get_revision(head).down_revision
    command.upgrade(config, older)
    prepare(engine)
    assert _get_schema_version(engine) == older
    assert upgrade(uri).exit_code == 0
    assert _get_schema_version(engine) == head
    assert version_of(engine) == [SCHEMA_VERSION]
    shop = GatedShop(uri, tmp_path)
    shop.add_versions(1)
    assert len(shop.lines(Kind.REGISTRATION)) == 1
    shop.store._dispose_engine()
    engine.dispose()


@on_each_database
def test_mlflow_upgrades_the_plain_address_and_touches_no_line(gated):
    gated.add_versions(1)
    assert upgrade(gated.uri).exit_code == 0
    assert len(gated.lines()) == 1
    assert gated.breaks() == []


WITHOUT_PLUGIN = """
import sys
sys.path.append(sys.argv[1])
import mlflow
client = mlflow.MlflowClient(tracking_uri=sys.argv[2], registry_uri="gated+" + sys.argv[2])
for move in (
    lambda: client.transition_model_version_stage("delay", "1", "Production"),
    lambda: client.set_registered_model_alias("delay", "champion", "1"),
    lambda: client.search_registered_models(),
):
    try:
        print("answered", move())
    except Exception as error:
        print(error)
"""


def test_without_the_plugin_nothing_gets_through(gated):
    """The same environment, less this package: MLflow does not know the address."""
    gated.add_versions(1)
    packages = gated.folder / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "mlflow_ext" not in entry.name:
            (packages / entry.name).symlink_to(entry)
    command = [sys.executable, "-I", "-S", "-c", WITHOUT_PLUGIN, str(packages), gated.uri]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=gated.folder)
    told = "Model Registry features are not supported by the store with URI: 'gated+sqlite:"
    assert ran.stdout.count(told) == 3
    assert "'gated+sqlite'" not in ran.stdout, "the plugin was there"
    assert "answered" not in ran.stdout
    assert gated.state() == ({1: "None"}, {})


@pytest.fixture
def workspaces(monkeypatch):
    """Workspaces are switched on."""
    from mlflow.utils.workspace_context import WorkspaceContext

    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    return WorkspaceContext


def test_evidence_of_one_workspace_does_not_count_in_another(workspaces, gated):
    for team in ("team-a", "team-b"):
        with workspaces(team):
            gated.add_versions(1)
    with workspaces("team-a"):
        line = gated.judge(1)
        assert gated.promote(1).current_stage == "Production"
        assert gated.state() == ({1: "Production"}, {"champion": 1})
    with workspaces("team-b"):
        with pytest.raises(MlflowException, match="no report"):
            gated.promote(1)
        gated.add_evidence(1, line.body["envelope"])
        with pytest.raises(MlflowException, match="it is about workspace 'team-a'"):
            gated.promote(1)
        assert gated.state() == ({1: "None"}, {})
        gated.judge(1)
        gated.client.set_registered_model_alias(MODEL, "champion", "1")
        assert {line.workspace for line in gated.lines()} == {"team-b"}
        assert gated.breaks() == []
    with workspaces("team-a"):
        assert gated.state() == ({1: "Production"}, {"champion": 1})
        assert [line.seq for line in gated.lines()] == [1, 2, 3]
        assert gated.breaks() == []


def test_the_net_under_the_store_holds_in_every_workspace(workspaces, gated):
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion

    with workspaces("team-a"):
        gated.add_versions(1)
        with (
            pytest.raises(MlflowException, match="a policy governs them"),
            gated.store.ManagedSessionMaker(read_only=False) as session,
        ):
            session.query(SqlModelVersion).one().current_stage = "Production"
        assert gated.state()[0] == {1: "None"}
