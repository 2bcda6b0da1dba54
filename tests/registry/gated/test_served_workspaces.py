"""Workspaces on a real gated server: each has its policies, its evidence and its chain."""

from itertools import count

import pytest
from mlflow.utils.workspace_context import WorkspaceContext
from served_shop import REST, ServedShop, path_of
from servers import gated_server, running

from mlflow_ext.registry.remote import find_registry

pytestmark = pytest.mark.slow
TEAMS = ("team-a", "team-b")
NUMBERS = count(1)


@pytest.fixture(scope="module")
def teams(empty_store, tmp_path_factory):
    """A shop in each workspace of one server; each has a model of the same name."""
    folder = tmp_path_factory.mktemp("workspaces")
    database = folder / "mlflow.db"
    database.write_bytes(empty_store.read_bytes())
    server = gated_server(folder, f"sqlite:///{database}", "--", "--enable-workspaces")
    with pytest.MonkeyPatch.context() as patch, running(server):
        patch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
        yield [open_workspace(server.url, folder, team) for team in TEAMS]


def open_workspace(url, folder, team):
    created = ServedShop(url, folder).call("/api/3.0/mlflow/workspaces", {"name": team})
    assert created[0] == 201
    shop = ServedShop(url, folder, {"X-MLFLOW-WORKSPACE": team})
    with WorkspaceContext(team):
        shop.experiment = shop.client.create_experiment("models")
        shop.model = shop.add_model()
        shop.version = shop.client.get_model_version(shop.model, "1")
    return shop


def promote(shop):
    """Ask for Production as MLflow's clients do; return the status and what was said."""
    body = {"name": shop.model, "version": "1", "stage": "Production"}
    status, answer = shop.call(f"{REST[0]}/model-versions/transition-stage", body)
    return status, answer.get("message", "")


def test_a_policy_and_evidence_hold_in_their_own_workspace_only(teams, monkeypatch):
    here, there = teams
    assert here.model == there.model
    policy = {"name": "open"}
    assert here.tell("policy/set", model=here.model, policy=policy, reason="trust")[0] == 200
    assert here.judge(1, here.model)[0] == 200
    assert promote(here) == (200, "")
    status, told = promote(there)
    assert (status, "at least 1 passed gate: no report" in told) == (403, True)

    assert here.put(f"{path_of(here.version)}/MLmodel")[0] == 403, "judged, and so frozen"
    assert there.put(f"{path_of(there.version)}/MLmodel")[0] == 200
    assert there.judge(1, there.model)[0] == 200
    assert promote(there) == (200, "")

    governing = {"team-a": "open", "team-b": "evidence"}
    for shop, team in zip(teams, TEAMS, strict=True):
        monkeypatch.setenv("MLFLOW_WORKSPACE", team)
        registry = find_registry(shop.url)
        shown = registry.ask("policy/show", model=shop.model)
        assert shown["policy"]["name"] == governing[team]
        audit = registry.ask("audit/verify")
        assert audit["head"]["workspace"] == team
        assert (audit["rows"], audit["problems"]) == (audit["head"]["seq"], [])


@pytest.fixture
def leaver(teams):
    """A workspace of its own, with one model, that somebody wants to delete."""
    return open_workspace(teams[0].url, teams[0].folder, f"leaver-{next(NUMBERS)}")


def delete(shop, mode, prefix="api"):
    """Ask for the deletion of a shop's workspace, as its administrator does."""
    named = shop.headers["X-MLFLOW-WORKSPACE"]
    path = f"/{prefix}/3.0/mlflow/workspaces/{named}?mode={mode}"
    return ServedShop(shop.url, shop.folder).call(path, method="DELETE")


@pytest.mark.parametrize("mode", ["SET_DEFAULT", "CASCADE"])
def test_a_workspace_with_a_governed_model_is_not_deleted(leaver, mode):
    assert leaver.judge(1, leaver.model)[0] == 200
    assert promote(leaver) == (200, "")
    for prefix in ("api", "ajax-api"):
        status, told = delete(leaver, mode, prefix)
        assert (status, told["error_code"]) == (403, "PERMISSION_DENIED")
        assert f"holds model '{leaver.model}', which policy 'evidence'" in told["message"]
    assert delete(leaver, "RESTRICT")[1]["error_code"] == "INVALID_STATE", "MLflow's own refusal"
    path = f"{REST[0]}/registered-models/get?name={leaver.model}"
    status, told = leaver.call(path)
    assert (status, told["registered_model"]["latest_versions"][0]["current_stage"]) == (
        200,
        "Production",
    )


def free(shop, model):
    """Let nothing govern a model in the workspace of *shop*."""
    assert shop.tell("policy/set", model=model, policy={"name": "open"}, reason="trust")[0] == 200


def test_the_policies_of_the_default_workspace_count_for_what_moves_there(leaver):
    model = f"{leaver.model}-moving"
    leaver.call(f"{REST[0]}/registered-models/rename", {"name": leaver.model, "new_name": model})
    free(leaver, model)
    status, told = delete(leaver, "SET_DEFAULT")
    assert (status, "of workspace 'default' governs" in told["message"]) == (403, True)
    free(ServedShop(leaver.url, leaver.folder), model)
    assert delete(leaver, "SET_DEFAULT")[0] == 204


def test_a_workspace_of_prompts_is_deleted_as_in_plain_mlflow(leaver):
    with WorkspaceContext(leaver.headers["X-MLFLOW-WORKSPACE"]):
        leaver.client.register_prompt("greeting", "Hello {{name}}")
    assert delete(leaver, "CASCADE")[0] == 403, "beside the prompt there is a model"
    body = {"name": leaver.model}
    leaver.call(f"{REST[0]}/registered-models/delete", body, method="DELETE")
    assert delete(leaver, "CASCADE")[0] == 204
