"""Which policy governs: a model's own, set by its owners, or the server's default."""

import pytest
from gated_shop import ALIAS_ONLY, MODEL, on_each_database

from mlflow_ext.errors import PolicyError, ProjectFileError, RefusedError
from mlflow_ext.records import Kind
from mlflow_ext.registry.gated.governance import default_policy
from mlflow_ext.registry.rules import EVIDENCE, OPEN, parse_policy, policy_digest

OWNED = {"groups": {"leads": ["olga"]}, "owners": ["leads"]}


@pytest.fixture(autouse=True)
def _forgetful():
    """No default that was read for one test serves another."""
    default_policy.cache_clear()
    yield
    default_policy.cache_clear()


def show(shop, model=MODEL):
    return shop.ask("policy/show", model=model)


def is_allowed(shop, version=1):
    asked = {"model": MODEL, "version": version, "to": "Production", "dry_run": True}
    return shop.ask("promote", **asked)["decision"]["is_allowed"]


def test_without_one_of_its_own_the_default_governs(gated):
    gated.add_versions(1)
    shown = show(gated)
    assert (shown["policy"]["name"], shown["source"]) == ("evidence", "default of the server")
    assert shown["digest"] == policy_digest(EVIDENCE)
    assert (shown["actor"], shown["time_ms"]) == (None, None)


@on_each_database
def test_a_policy_that_is_set_governs_at_once_and_is_shown_with_its_line(gated):
    gated.add_versions(1)
    entry = gated.govern("olga", stages={"Production": {"alias": "champion"}})["entry"]
    shown = show(gated)
    assert shown["source"] == f"ledger line {entry['seq']}"
    assert (shown["actor"], shown["time_ms"]) == ("olga", entry["time_ms"])
    assert (
        shown["digest"] == entry["body"]["digest"] == policy_digest(parse_policy(shown["policy"]))
    )
    assert is_allowed(gated)
    gated.govern(stages={"Production": {"alias": "champion", "min_passed": 1}})
    assert not is_allowed(gated)
    assert show(gated, "other")["policy"]["name"] == "evidence"


def test_only_the_owners_set_another(gated):
    gated.add_versions(1)
    gated.govern("olga", stages={"Production": {"alias": "champion", "min_passed": 1}}, **OWNED)
    before = show(gated)
    with pytest.raises(RefusedError) as error:
        gated.govern("ann")
    assert error.value.found == "'ann' is no owner of policy 'own'"
    assert error.value.expected == "one of its owners: olga"
    assert error.value.fix == "mlflow-ext policy show delay"
    assert show(gated) == before
    gated.govern("olga")
    assert gated.lines(Kind.POLICY)[-1].actor == "olga"


def test_owners_of_the_servers_default_own_every_model_without_a_policy(
    gated, tmp_path, monkeypatch
):
    file = tmp_path / "default.yaml"
    file.write_text(ALIAS_ONLY + "groups: {leads: [olga]}\nowners: [leads]\n")
    monkeypatch.setenv("MLFLOW_EXT_DEFAULT_POLICY", str(file))
    with pytest.raises(RefusedError, match="no owner of policy 'alias only'"):
        gated.govern("ann")
    assert gated.govern("olga")["entry"]["actor"] == "olga"


def test_what_is_no_policy_is_refused_and_leaves_the_old_one(gated):
    with pytest.raises(PolicyError, match="stags"):
        gated.govern(stags={})
    assert gated.lines(Kind.POLICY) == []


def test_a_file_can_be_the_default(gated, tmp_path, monkeypatch):
    file = tmp_path / "default.yaml"
    file.write_text(ALIAS_ONLY)
    monkeypatch.setenv("MLFLOW_EXT_DEFAULT_POLICY", str(file))
    gated.add_versions(1)
    assert (show(gated)["policy"]["name"], show(gated)["source"]) == (
        "alias only",
        "default of the server",
    )
    gated.promote(1)
    assert gated.state() == ({1: "Production"}, {"champion": 1})
    monkeypatch.delenv("MLFLOW_EXT_DEFAULT_POLICY")
    assert gated.ask("replay") == {"replayed": 1, "different": ()}, "the line carries its policy"


def test_open_switches_the_default_off_but_no_policy_of_a_model(gated, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXT_DEFAULT_POLICY", "open")
    gated.add_versions(2)
    assert show(gated)["digest"] == policy_digest(OPEN)
    answer = gated.ask("promote", model=MODEL, version=1, to="Production", reason="x")
    assert (answer["policy"], answer["decision"]["is_allowed"]) == ("open", True)
    assert answer["transition"] is None, "nothing governed has moved"
    assert (gated.state()[0], gated.lines()) == ({1: "Production", 2: "None"}, [])
    gated.govern(stages={"Production": {"min_passed": 1}})
    assert not is_allowed(gated, 2)


@pytest.mark.parametrize("text", [None, "nmae: x\n"])
def test_a_default_that_cannot_be_read_stops_every_decision(gated, tmp_path, monkeypatch, text):
    gated.add_versions(1)
    gated.judge(1)
    file = tmp_path / "missing.yaml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("MLFLOW_EXT_DEFAULT_POLICY", str(file))
    with pytest.raises(ProjectFileError, match=r"missing\.yaml"):
        is_allowed(gated)
    monkeypatch.delenv("MLFLOW_EXT_DEFAULT_POLICY")
    assert is_allowed(gated)
