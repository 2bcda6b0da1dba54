"""A version that was registered by ``runs:/`` on a laptop, where no server resolves the address."""

import pytest
from gated_shop import MODEL

from mlflow_ext.registry.gated.sources import find_place


@pytest.fixture
def run(laptop, gated):
    """A run with the files of a model."""
    experiment = gated.client.create_experiment("e", (gated.folder / "artifacts").as_uri())
    run = gated.client.create_run(experiment)
    gated.client.log_text(run.info.run_id, "flavors: {}", "model/MLmodel")
    gated.client.create_registered_model(MODEL)
    return run.info


def test_its_files_are_found_and_judged(gated, run):
    source = f"runs:/{run.run_id}/model"
    made = gated.client.create_model_version(MODEL, source, run.run_id)
    assert made.source == source
    there = gated.client.get_model_version_download_uri(MODEL, "1")
    assert there == f"{run.artifact_uri}/model" == find_place(source)
    gated.judge(1)
    gated.promote(1)
    assert gated.state()[0] == {1: "Production"}


@pytest.mark.parametrize("source", ["runs:/nobody/model", "runs:/", "s3://bucket/model"])
def test_what_names_no_run_that_is_there_stays_as_it_is(gated, run, source):
    gated.client.create_model_version(MODEL, source)
    assert find_place(source) is None
    assert gated.client.get_model_version_download_uri(MODEL, "1") == source
