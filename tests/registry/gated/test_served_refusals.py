"""What the store refuses is refused to curl and to the web UI: both prefixes of a real server."""

import shutil

import pytest
from served_shop import REST, ServedShop, path_of
from servers import serve_gated

from mlflow_ext.records import Verdict

pytestmark = pytest.mark.slow
IS_PROMPT = "mlflow.prompt.is_prompt"
RESERVED = ("mlflow_ext.stage", "mlflow_ext.gate.metrics", "MLFLOW_EXT.Stage")


@pytest.fixture(scope="module")
def shop(empty_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refusals")
    shutil.copy(empty_store, folder / "mlflow.db")
    with serve_gated(folder, f"sqlite:///{folder}/mlflow.db") as url:
        yield ServedShop(url, folder)


class Way:
    """One prefix under which MLflow serves its API."""

    def __init__(self, shop, rest):
        self.shop = shop
        self.rest = rest
        self.model = shop.add_model()

    def done(self, path, method="POST", **body):
        """Send a request that is carried out; return the answer."""
        status, answer = self.shop.call(f"{self.rest}/{path}", body, method)
        assert status == 200, answer
        return answer

    def refused(self, path, method="POST", **body):
        """Send a request that is refused as MLflow's clients understand; return what is said."""
        status, answer = self.shop.call(f"{self.rest}/{path}", body, method)
        assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED"), answer
        return answer["message"]

    def promotion(self, version, model=None, stage="Production"):
        """What asks for a stage, in `done` or `refused`."""
        asked = {"name": model or self.model, "version": str(version), "stage": stage}
        return {"path": "model-versions/transition-stage", **asked}

    def source(self):
        """Where the files of version 1 come from, as a new version says it."""
        version = self.shop.client.get_model_version(self.model, "1")
        return {"source": version.source, "run_id": version.run_id}

    def create(self, **version):
        """Create one more version; return its number."""
        made = self.done("model-versions/create", **{"name": self.model} | version)
        return int(made["model_version"]["version"])


@pytest.fixture(params=REST, ids=["api", "ajax-api"])
def way(shop, request):
    return Way(shop, request.param)


@pytest.fixture
def judged(way):
    """A way to a model whose version 1 is in Production, with evidence."""
    assert way.shop.judge(1, way.model)[0] == 200
    way.done(**way.promotion(1))
    return way


def test_a_failed_gate_and_an_unknown_version_get_nobody_in(way):
    assert way.shop.judge(1, way.model, Verdict.FAILED)[0] == 200
    assert "no failed gate" in way.refused(**way.promotion(1))
    status, answer = way.shop.call(
        f"{way.rest}/model-versions/transition-stage",
        {"name": way.model, "version": "9", "stage": "Production"},
    )
    assert (status, answer["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_copy_of_what_is_in_production_has_no_evidence(judged):
    copied = f"{judged.model}-copied"
    judged.done("registered-models/create", name=copied)
    number = judged.create(name=copied, source=f"models:/{judged.model}/1")
    assert "no report" in judged.refused(**judged.promotion(number, copied))
    alias = {"name": copied, "alias": "champion", "version": str(number)}
    assert "no report" in judged.refused("registered-models/alias", **alias)


@pytest.mark.parametrize("key", RESERVED)
def test_the_registrys_own_tags_are_refused_when_they_are_set_and_at_creation(way, key):
    version = {"name": way.model, "version": "1"}
    tag = {"key": key, "value": "passed"}
    source = way.source()
    for path, body in (
        ("model-versions/set-tag", version | tag),
        ("registered-models/set-tag", {"name": way.model} | tag),
        ("model-versions/create", {"name": way.model, "tags": [tag]} | source),
        ("registered-models/create", {"name": f"{way.model}-tagged", "tags": [tag]}),
    ):
        assert f"tag '{key}' is kept by the registry" in way.refused(path, **body)
    way.refused("model-versions/delete-tag", "DELETE", **version, key=key)
    way.refused("registered-models/delete-tag", "DELETE", name=way.model, key=key)


def test_a_forged_prompt_tag_hides_no_model_and_exempts_none(way):
    tag = {"key": IS_PROMPT, "value": "true"}
    assert "would hide a model" in way.refused("registered-models/set-tag", name=way.model, **tag)
    disguised = f"{way.model}-disguised"
    way.done("registered-models/create", name=disguised, tags=[tag])
    number = way.create(name=disguised, **way.source())
    assert "no report" in way.refused(**way.promotion(number, disguised))


def test_a_version_that_is_deleted_and_made_again_is_another_one(judged):
    judged.done(**judged.promotion(1, stage="Archived"))
    source = judged.source()
    judged.done("registered-models/delete", "DELETE", name=judged.model)
    judged.done("registered-models/create", name=judged.model)
    assert judged.create(**source) == 1
    told = judged.refused(**judged.promotion(1))
    assert "another version 1, made at another time" in told


def test_an_alias_moved_to_an_older_version_is_a_rollback_only_to_one_that_was_there(judged):
    alias = {"name": judged.model, "alias": "champion"}
    for number in ("2", "3"):
        judged.shop.add_version(judged.model)
        assert number == "2" or judged.shop.judge(3, judged.model)[0] == 200
    judged.done(**judged.promotion(3))
    assert "no report" in judged.refused("registered-models/alias", **alias, version="2")
    judged.done("registered-models/alias", **alias, version="1")
    _, told = judged.shop.ask("history", model=judged.model)
    steps = [(step["action"], step["version"]) for step in told["transitions"]]
    assert steps[-2:] == [("rollback", 1), ("archive", 3)]


def test_metrics_that_are_logged_after_the_fact_are_no_evidence(way):
    run_id = way.source()["run_id"]
    logged = way.done("logged-models", experiment_id="0", source_run_id=run_id)
    model_id = logged["model"]["info"]["model_id"]
    number = way.create(source=f"models:/{model_id}", model_id=model_id)
    metric = {"key": "roc_auc", "value": 0.999, "timestamp": 1, "model_id": model_id}
    way.done("runs/log-metric", run_id=run_id, **metric)
    tags = [{"key": "mlflow_ext.gate.metrics", "value": "passed"}]
    way.done(f"logged-models/{model_id}/tags", "PATCH", tags=tags)
    assert "no report" in way.refused(**way.promotion(number))


def test_a_version_that_is_registered_by_its_run_is_judged_and_frozen_like_any_other(way):
    run_id = way.source()["run_id"]
    number = way.create(source=f"runs:/{run_id}/model", run_id=run_id)
    version = way.shop.client.get_model_version(way.model, str(number))
    assert version.source == f"runs:/{run_id}/model", "as in plain MLflow"
    status, told = way.shop.judge(number, way.model)
    assert status == 200, told
    way.done(**way.promotion(number))
    there = path_of(way.shop.client.get_model_version(way.model, "1"))
    assert way.shop.put(f"{there}/MLmodel")[0] == 403


def test_a_version_of_a_run_that_is_not_there_is_taken_and_never_judged(way):
    number = way.create(source="runs:/nobody/model", run_id="nobody")
    bound = way.shop.ask("version", model=way.model, version=number)[1]
    assert (bound["digest"], bound["storage"]) == ("", "runs:/nobody/model")
    assert "no report" in way.refused(**way.promotion(number))
