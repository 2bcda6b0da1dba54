"""The gated registry on a real MariaDB: what holds on the other databases holds there."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from gated_shop import ALIAS_ONLY, MODEL, GatedShop, race_two_stores
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import create_sqlalchemy_engine
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from together import together

from mlflow_ext.errors import RegistryStateError
from mlflow_ext.plugins.registry_store import build_registry_store
from mlflow_ext.records import Kind
from mlflow_ext.registry.gated.schema import prepare

ROUNDS = 10
CLOSE = """
CREATE TRIGGER closed BEFORE INSERT ON mlflow_ext_ledger FOR EACH ROW
IF NEW.kind = 'transition' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'it is closed'; END IF
"""

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
on_mysql = pytest.mark.parametrize("mlflow_database", ["mysql"], indirect=True)


@pytest.fixture
def alias_only(tmp_path, monkeypatch):
    """Everything may go to Production."""
    (tmp_path / "policy.yaml").write_text(ALIAS_ONLY)
    monkeypatch.setenv("MLFLOW_EXT_DEFAULT_POLICY", str(tmp_path / "policy.yaml"))


@on_mysql
def test_evidence_decides_and_every_answer_is_a_line(gated):
    gated.add_versions(2)
    gated.judge(1)
    with pytest.raises(MlflowException, match="refuses to move version 2 of 'delay'"):
        gated.promote(2)
    assert gated.promote(1).current_stage == "Production"
    assert gated.state() == ({1: "Production", 2: "None"}, {"champion": 1})
    told = [line.body["decision"]["is_allowed"] for line in gated.lines() if line.stage]
    assert told == [False, True]
    assert gated.breaks() == []


@on_mysql
@pytest.mark.parametrize("alias", ["CHAMPION", "chämpion"])
def test_an_alias_that_only_looks_alike_is_another_one(gated, alias):
    gated.add_versions(2)
    gated.judge(1)
    gated.promote(1)
    gated.client.delete_registered_model_alias(MODEL, alias)
    assert gated.state()[1] == {"champion": 1}


def test_a_database_that_takes_names_for_one_another_is_refused(mysql_server, mysql_template):
    vague = mysql_template.replace(b"utf8mb4_nopad_bin", b"utf8mb4_general_ci")
    for dump, collation in ((vague, ""), (mysql_template, "utf8mb4_general_ci")):
        refused = pytest.raises(RegistryStateError, match="COLLATE utf8mb4_nopad_bin")
        with mysql_server.database(dump, collation) as url, refused:
            build_registry_store(f"gated+{url}")


@on_mysql
def test_two_promotions_at_one_moment_leave_one_version_in_production(alias_only, gated):
    race_two_stores(gated, ROUNDS)


@on_mysql
def test_writers_of_many_models_neither_wait_for_each_other_nor_break_the_chain(alias_only, gated):
    def write(number):
        model = f"model {number}"
        gated.client.create_registered_model(model)
        gated.client.create_model_version(model, "s3://bucket/model")
        for _ in range(ROUNDS):
            gated.promote(1, model)
            gated.promote(1, model, "Archived")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert gated.breaks() == []
    assert len(gated.lines(Kind.TRANSITION)) == 6 * ROUNDS * 2


@on_mysql
def test_what_cannot_be_recorded_does_not_happen(alias_only, gated):
    gated.add_versions(2)
    gated.promote(1)
    before, lines = gated.state(), gated.lines()
    gated.execute(CLOSE)
    for move in (
        lambda: gated.promote(2),
        lambda: gated.client.set_registered_model_alias(MODEL, "champion", "2"),
    ):
        with pytest.raises(MlflowException, match="it is closed"):
            move()
    assert (gated.state(), gated.lines()) == (before, lines)


@on_mysql
def test_a_line_that_was_edited_or_removed_is_found(gated):
    gated.add_versions(1)
    gated.judge(1)
    gated.promote(1)
    gated.execute("UPDATE mlflow_ext_ledger SET actor = 'Ann' WHERE seq = 1")
    assert [found.seq for found in gated.breaks()] == [1]
    gated.execute("DELETE FROM mlflow_ext_ledger WHERE seq = 2")
    assert [found.seq for found in gated.breaks()] != []


def test_stores_that_start_at_once_make_the_tables_once(mysql_store):
    engines = [create_sqlalchemy_engine(mysql_store) for _ in range(6)]
    assert together(*(lambda e=e: prepare(e) for e in engines)) == []
    for engine in engines:
        engine.dispose()


def test_what_an_older_database_holds_goes_on_under_another_collation(
    mysql_server, mysql_template, server_key, tmp_path
):
    exact, vague = b"utf8mb4_nopad_bin", b"utf8mb4_general_ci"
    with mysql_server.database(mysql_template.replace(exact, vague)) as url:
        older = SqlAlchemyStore(url)
        older.create_registered_model(MODEL)
        older.create_model_version(MODEL, "s3://bucket/model")
        older._dispose_engine()
        dump = mysql_server.dump(url.rpartition("/")[2])
    with mysql_server.database(dump.replace(vague, exact)) as url:
        shop = GatedShop(url, tmp_path)
        assert shop.state() == ({1: "None"}, {})
        shop.store._dispose_engine()
