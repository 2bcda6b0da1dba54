"""The gated store refuses every way round its policy, through MLflow's own client."""

import pytest
import sqlalchemy as sa
from gated_shop import MODEL, GatedShop, failed_check, on_each_database
from mlflow.entities.model_registry import RegisteredModelTag
from mlflow.exceptions import MlflowException

from mlflow_ext.records import Action, Kind, Verdict
from mlflow_ext.registry.rules import EVIDENCE, dump_policy, parse_policy, policy_digest

NO_EVIDENCE = "at least 1 passed gate: no report. To mend it: mlflow-ext gate run delay 1"


@pytest.fixture
def refused():
    """Run something that the registry must refuse with 403; return its words."""

    def run(method, *args, **kwargs):
        with pytest.raises(MlflowException) as error:
            method(*args, **kwargs)
        assert error.value.error_code == "PERMISSION_DENIED"
        assert error.value.get_http_status_code() == 403
        return error.value.message

    return run


@pytest.fixture
def judged(gated):
    """Versions 1 and 2, both with evidence; version 1 is in Production."""
    gated.add_versions(2)
    for version in (1, 2):
        gated.judge(version)
    gated.promote(1)
    return gated


def set_policy(shop, policy, model=MODEL):
    body = {"policy": dump_policy(policy), "digest": policy_digest(policy), "reason": "test"}
    return shop.append(Kind.POLICY, body, model)


@pytest.mark.parametrize("stage", ["Production", "production", "PRODUCTION", "pRoDuCtIoN"])
@pytest.mark.parametrize("is_archiving", [True, False])
def test_a_stage_in_any_case_needs_evidence(gated, refused, stage, is_archiving):
    gated.add_versions(1)
    move = gated.client.transition_model_version_stage
    told = refused(move, MODEL, "1", stage, archive_existing_versions=is_archiving)
    assert told.startswith("Policy 'evidence' refuses to move version 1 of 'delay' to Production:")
    assert NO_EVIDENCE in told
    assert gated.state() == ({1: "None"}, {})


@pytest.mark.parametrize("alias", ["champion", "Champion", "CHAMPION"])
def test_an_alias_in_any_case_needs_evidence(gated, refused, alias):
    gated.add_versions(1)
    refused(gated.client.set_registered_model_alias, MODEL, alias, "1")
    assert gated.state() == ({1: "None"}, {})


@on_each_database
def test_evidence_lets_a_version_in_and_the_alias_goes_with_it(gated):
    gated.add_versions(1)
    gated.judge(1)
    assert gated.promote(1).current_stage == "Production"
    assert gated.state() == ({1: "Production"}, {"champion": 1})


@on_each_database
def test_an_alias_with_evidence_takes_the_version_to_its_stage(judged):
    judged.client.set_registered_model_alias(MODEL, "champion", "2")
    assert judged.state() == ({1: "Archived", 2: "Production"}, {"champion": 2})


def test_even_evidence_gives_the_alias_in_its_own_spelling_only(judged, refused):
    told = refused(judged.client.set_registered_model_alias, MODEL, "Champion", "2")
    assert "'champion', the alias of stage Production" in told
    assert judged.state() == ({1: "Production", 2: "None"}, {"champion": 1})


def test_other_aliases_and_stages_are_free(gated):
    gated.add_versions(2)
    gated.client.set_registered_model_alias(MODEL, "candidate", "2")
    gated.client.transition_model_version_stage(MODEL, "1", "staging")
    gated.client.transition_model_version_stage(MODEL, "2", "Archived")
    assert gated.state() == ({1: "Staging", 2: "Archived"}, {"candidate": 2, "challenger": 1})


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.SKIPPED])
def test_only_a_passed_gate_helps(gated, refused, verdict):
    gated.add_versions(1)
    gated.judge(1, verdict=verdict)
    assert f"metrics {verdict}" in refused(gated.promote, 1)


def test_one_failed_gate_outweighs_another_that_passed(gated, refused):
    gated.add_versions(1)
    gated.judge(1)
    failed = gated.sign(gated.bind(1), gate="data", checks=(failed_check(),))
    gated.add_evidence(1, failed, gate="data", verdict=Verdict.FAILED)
    assert "no failed gate: data failed" in refused(gated.promote, 1)


def test_the_alias_of_a_held_stage_is_not_deleted(judged, refused):
    told = refused(judged.client.delete_registered_model_alias, MODEL, "champion")
    assert "which version 1 holds" in told
    assert judged.state()[1] == {"champion": 1}


def test_deleting_the_alias_in_another_case_deletes_nothing(judged):
    judged.client.delete_registered_model_alias(MODEL, "CHAMPION")
    assert judged.state()[1] == {"champion": 1}


@on_each_database
def test_what_is_in_production_is_neither_deleted_nor_renamed(judged, refused):
    assert "cannot be deleted" in refused(judged.client.delete_model_version, MODEL, "1")
    assert "cannot be deleted" in refused(judged.client.delete_registered_model, MODEL)
    assert "cannot be renamed" in refused(judged.client.rename_registered_model, MODEL, "other")
    assert judged.state() == ({1: "Production", 2: "None"}, {"champion": 1})


def test_a_version_outside_production_is_deleted_and_that_is_recorded(judged):
    judged.client.delete_model_version(MODEL, "2")
    assert judged.state()[0] == {1: "Production"}
    assert [line.version for line in judged.lines(Kind.DELETION)] == [2]


@on_each_database
def test_renaming_into_a_governed_name_is_refused(gated, refused, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXT_DEFAULT_POLICY", "open")
    gated.add_versions(1, "wild")
    gated.promote(1, "wild")
    set_policy(gated, EVIDENCE, MODEL)
    told = refused(gated.client.rename_registered_model, "wild", MODEL)
    assert "cannot be renamed to 'delay'" in told
    assert gated.state("wild")[0] == {1: "Production"}


def test_renaming_out_of_a_governed_name_is_refused(gated, refused, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXT_DEFAULT_POLICY", "open")
    set_policy(gated, EVIDENCE, MODEL)
    gated.add_versions(1)
    gated.judge(1)
    gated.promote(1)
    refused(gated.client.rename_registered_model, MODEL, "wild")
    assert gated.state()[0] == {1: "Production"}


def test_a_renamed_model_leaves_its_evidence_behind(gated, refused):
    gated.add_versions(1)
    gated.judge(1)
    gated.client.rename_registered_model(MODEL, "other")
    assert "no report" in refused(gated.promote, 1, "other")
    [line] = gated.lines(Kind.RENAME)
    assert (line.model, line.body["new_name"]) == (MODEL, "other")


def test_a_version_that_is_made_again_is_another_one(gated, refused):
    gated.add_versions(3)
    gated.judge(3)
    gated.client.delete_registered_model(MODEL)
    gated.add_versions(3)
    assert "another version 3, made at another time" in refused(gated.promote, 3)


def test_history_of_a_deleted_model_does_not_help_its_namesake(judged, refused):
    judged.client.transition_model_version_stage(MODEL, "1", "Archived")
    judged.client.delete_registered_model(MODEL)
    judged.add_versions(2)
    assert "another version 1, made at another time" in refused(judged.promote, 1)


def test_a_copy_of_a_promoted_version_has_no_evidence(laptop, judged, refused):
    copy = judged.client.copy_model_version("models:/delay/1", "copied")
    assert "no report" in refused(judged.promote, int(copy.version), "copied")


@pytest.mark.parametrize("key", ["mlflow_ext.stage", "mlflow_ext.gate.metrics", "MLFLOW_EXT.Stage"])
def test_the_registrys_own_tags_are_its_own(gated, refused, key):
    gated.add_versions(1)
    client = gated.client
    refused(client.set_model_version_tag, MODEL, "1", key, "passed")
    refused(client.delete_model_version_tag, MODEL, "1", key)
    refused(client.set_registered_model_tag, MODEL, key, "passed")
    refused(client.delete_registered_model_tag, MODEL, key)
    refused(client.create_registered_model, "tagged", {key: "passed"})
    refused(client.create_model_version, MODEL, "s3://bucket", tags={key: "passed"})
    assert gated.state()[0] == {1: "None"}


def test_provenance_is_written_once(gated, refused):
    gated.add_versions(1)
    gated.client.set_model_version_tag(MODEL, "1", "mlflow_ext.commit", "abc")
    refused(gated.client.set_model_version_tag, MODEL, "1", "mlflow_ext.commit", "def")
    refused(gated.client.delete_model_version_tag, MODEL, "1", "mlflow_ext.commit")
    assert gated.client.get_model_version(MODEL, "1").tags == {"mlflow_ext.commit": "abc"}


def test_a_forged_prompt_tag_is_refused(gated, refused):
    gated.add_versions(1)
    refused(gated.client.set_registered_model_tag, MODEL, "mlflow.prompt.is_prompt", "true")


def test_a_prompt_tag_that_was_there_before_exempts_no_model(gated, refused):
    tags = [RegisteredModelTag("mlflow.prompt.is_prompt", "true")]
    gated.store.create_registered_model(MODEL, tags)
    gated.add_version()
    # MLflow's client hides such a model; REST calls and other clients reach the store.
    refused(gated.store.transition_model_version_stage, MODEL, "1", "Production", False)
    refused(gated.store.set_registered_model_alias, MODEL, "champion", "1")


@on_each_database
def test_prompts_work_as_without_a_gate(gated):
    gated.client.register_prompt("greet", "Hello {{name}}")
    gated.client.register_prompt("greet", "Good morning {{name}}")
    gated.client.set_prompt_alias("greet", "champion", 1)
    gated.client.set_prompt_alias("greet", "champion", 2)
    loaded = gated.client.load_prompt("prompts:/greet@champion")
    assert (loaded.version, loaded.template) == (2, "Good morning {{name}}")
    gated.client.delete_prompt_alias("greet", "champion")
    gated.client.delete_prompt_version("greet", "2")
    assert gated.lines() == []


def test_metrics_that_are_logged_after_the_fact_are_no_evidence(laptop, gated, refused):
    experiment = gated.client.create_experiment("e", str(gated.folder / "artifacts"))
    run = gated.client.create_run(experiment)
    model = gated.client.create_logged_model(experiment, source_run_id=run.info.run_id)
    gated.client.finalize_logged_model(model.model_id, "READY")
    gated.client.create_registered_model(MODEL)
    gated.client.create_model_version(MODEL, f"models:/{model.model_id}", run.info.run_id)
    gated.client.log_metric(run.info.run_id, "roc_auc", 0.999, model_id=model.model_id)
    gated.client.set_logged_model_tags(model.model_id, {"mlflow_ext.gate.metrics": "passed"})
    assert NO_EVIDENCE in refused(gated.promote, 1)


@on_each_database
def test_an_alias_moved_back_is_a_rollback(judged):
    judged.promote(2)
    judged.client.set_registered_model_alias(MODEL, "champion", "1")
    assert judged.state() == ({1: "Production", 2: "Archived"}, {"champion": 1})
    moves = [line.body["transition"] for line in judged.lines(Kind.TRANSITION)]
    assert [(m["action"], m["version"]) for m in moves[-2:]] == [("rollback", 1), ("archive", 2)]


def test_a_rollback_needs_no_fresh_evidence_but_the_files_of_then(judged, refused):
    judged.promote(2)
    judged.govern(stages={"Production": {"alias": "champion", "gates": [{"gate": "fairness"}]}})
    (judged.folder / "files" / "0" / "MLmodel").write_text("others")
    told = refused(judged.client.set_registered_model_alias, MODEL, "champion", "1")
    assert "the files it had there: its files have digest" in told
    (judged.folder / "files" / "0" / "MLmodel").write_text("flavors: {} # 0")
    judged.promote(1)
    assert judged.state() == ({1: "Production", 2: "Archived"}, {"champion": 1})


def test_an_alias_moved_back_to_what_was_never_there_is_a_promotion(gated, refused):
    gated.add_versions(2)
    gated.judge(2)
    gated.promote(2)
    told = refused(gated.client.set_registered_model_alias, MODEL, "champion", "1")
    assert NO_EVIDENCE in told
    assert gated.state() == ({1: "None", 2: "Production"}, {"champion": 2})


@on_each_database
def test_what_leaves_production_loses_its_alias(judged):
    judged.client.transition_model_version_stage(MODEL, "1", "archived")
    assert judged.state() == ({1: "Archived", 2: "None"}, {})


def test_a_version_in_its_stage_already_stays_and_nothing_is_recorded(judged):
    before = len(judged.lines())
    judged.promote(1)
    judged.client.set_registered_model_alias(MODEL, "champion", "1")
    assert judged.state() == ({1: "Production", 2: "None"}, {"champion": 1})
    assert len(judged.lines()) == before


@on_each_database
def test_a_move_answers_with_every_tag_and_alias_of_the_version(judged):
    for number in range(3):
        judged.client.set_model_version_tag(MODEL, "2", f"tag-{number}", str(number))
        judged.client.set_registered_model_alias(MODEL, f"free-{number}", str(1 + number % 2))
    answered = judged.promote(2)
    assert dict(answered) == dict(judged.client.get_model_version(MODEL, "2"))
    assert answered.tags == {"tag-0": "0", "tag-1": "1", "tag-2": "2"}
    assert sorted(answered.aliases) == ["champion", "free-1"]


@on_each_database
def test_each_move_is_recorded_with_what_it_replaced(judged):
    judged.promote(2)
    [_, first, second, archived] = [None, *judged.lines(Kind.TRANSITION)]
    told = [line.body["transition"] for line in (first, second, archived)]
    assert [t["action"] for t in told] == [Action.PROMOTE, Action.PROMOTE, Action.ARCHIVE]
    assert [(t["version"], t["to_stage"], t["replaced"]) for t in told] == [
        (1, "Production", None),
        (2, "Production", 1),
        (1, "Archived", None),
    ]
    assert told[1]["gates"] == {"metrics": "passed"}
    assert judged.breaks() == []


@on_each_database
def test_a_refusal_is_recorded_with_its_reasons(gated, refused):
    gated.add_versions(1)
    refused(gated.promote, 1)
    [line] = gated.lines(Kind.REFUSAL)
    assert (line.version, line.stage, line.body["transition"]) == (1, "Production", None)
    assert line.body["decision"]["is_allowed"] is False


CLOSED = {
    "sqlite": (
        "CREATE TRIGGER closed BEFORE INSERT ON mlflow_ext_ledger WHEN NEW.kind = 'transition' "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is closed'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION close() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is closed'; END $$",
        "CREATE TRIGGER closed BEFORE INSERT ON mlflow_ext_ledger FOR EACH ROW "
        "WHEN (NEW.kind = 'transition') EXECUTE FUNCTION close()",
    ),
}


@on_each_database
def test_what_cannot_be_recorded_does_not_happen(judged):
    for statement in CLOSED[judged.store.engine.dialect.name]:
        judged.execute(statement)
    before, lines = judged.state(), judged.lines()
    for move in (
        lambda: judged.promote(2),
        lambda: judged.client.set_registered_model_alias(MODEL, "champion", "2"),
        lambda: judged.client.transition_model_version_stage(MODEL, "1", "Archived"),
    ):
        with pytest.raises(MlflowException, match="the ledger is closed"):
            move()
    assert (judged.state(), judged.lines()) == (before, lines)
    assert judged.breaks() == []


@on_each_database
def test_a_write_that_no_decision_permits_is_caught(judged, refused):
    from mlflow.store.model_registry.dbmodels import models

    def write(change):
        with judged.store.ManagedSessionMaker(read_only=False) as session:
            change(session)

    def version(session, number):
        where = {"name": MODEL, "version": number}
        return session.query(models.SqlModelVersion).filter_by(**where).one()

    def alias(session, **values):
        session.merge(models.SqlRegisteredModelAlias(workspace="default", name=MODEL, **values))

    ways = {
        "Production": lambda s: setattr(version(s, 2), "current_stage", "Production"),
        "leaving": lambda s: setattr(version(s, 1), "current_stage", "None"),
        "deleting": lambda s: s.delete(version(s, 1)),
        "in bulk": lambda s: s.query(models.SqlModelVersion).update({"current_stage": "None"}),
        "alias in bulk": lambda s: s.query(models.SqlRegisteredModelAlias).delete(),
        "alias": lambda s: alias(s, alias="champion", version=2),
        "other case": lambda s: alias(s, alias="CHAMPION", version=2),
    }
    for way, change in ways.items():
        assert "a policy governs them" in refused(write, change), way
    write(lambda s: setattr(version(s, 2), "current_stage", "Archived"))
    write(lambda s: alias(s, alias="free", version=2))
    assert judged.state() == (
        {1: "Production", 2: "Archived"},
        {"champion": 1, "free": 2},
    )


@on_each_database
def test_moving_a_version_that_is_not_there_says_so_as_mlflow_does(gated):
    gated.add_versions(1)
    for model, version in ((MODEL, 9), ("nobody", 1)):
        with pytest.raises(MlflowException, match="not found") as error:
            gated.promote(version, model)
        assert error.value.error_code == "RESOURCE_DOES_NOT_EXIST"


@on_each_database
def test_the_open_policy_leaves_everything_to_mlflow(gated, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXT_DEFAULT_POLICY", "open")
    gated.add_versions(2)
    gated.promote(1)
    gated.promote(2)
    gated.client.set_registered_model_alias(MODEL, "Champion", "1")
    gated.client.delete_model_version(MODEL, "2")
    assert gated.state() == ({1: "Production"}, {"Champion": 1})
    assert gated.lines() == []


def test_a_models_own_policy_governs_it_at_once(gated, refused):
    policy = parse_policy(
        {
            "name": "four eyes",
            "stages": {"canary": {"alias": "canary", "gates": [{"gate": "load"}]}},
        }
    )
    gated.add_versions(2)
    set_policy(gated, policy)
    gated.promote(1)
    told = refused(gated.client.set_registered_model_alias, MODEL, "Canary", "1")
    assert "'canary', the alias of stage canary" in told
    told = refused(gated.client.set_registered_model_alias, MODEL, "canary", "2")
    assert "gate load: no report" in told
    gated.judge(2, gate="load")
    gated.client.set_registered_model_alias(MODEL, "canary", "2")
    assert gated.state() == ({1: "Production", 2: "None"}, {"canary": 2})
    assert "holds canary" in refused(gated.client.delete_model_version, MODEL, "2")


@on_each_database
def test_an_edited_policy_stops_every_decision(gated, refused):
    gated.add_versions(1)
    gated.judge(1)
    line = set_policy(gated, parse_policy({"name": "strict", "stages": dump_strict()}))
    edited = "UPDATE mlflow_ext_ledger SET body = replace(body, 'strict', 'lax') WHERE seq = :seq"
    assert gated.execute(edited, seq=line.seq) == 1
    assert f"line {line.seq} of the ledger" in refused(gated.promote, 1)
    assert gated.state()[0] == {1: "None"}


def dump_strict():
    return {"Production": {"alias": "champion", "gates": [{"gate": "metrics"}, {"gate": "data"}]}}


@on_each_database
def test_versions_are_numbers_for_every_driver(judged):
    url = judged.uri.replace("psycopg2", "psycopg")
    other = GatedShop(url, judged.folder)
    moved = other.client.transition_model_version_stage(
        MODEL, "2", "Production", archive_existing_versions=True
    )
    assert moved.current_stage == "Production"
    assert judged.state() == ({1: "Archived", 2: "Production"}, {"champion": 2})
    other.store._dispose_engine()


def test_the_suites_tables_are_none_of_mlflows(gated):
    from mlflow.store.db.base_sql_model import Base

    own = {name for name in sa.inspect(gated.store.engine).get_table_names() if "_ext_" in name}
    assert {"mlflow_ext_ledger", "mlflow_ext_heads", "mlflow_ext_schema"} <= own
    assert not own & set(Base.metadata.tables)
