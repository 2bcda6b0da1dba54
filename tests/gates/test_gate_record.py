"""What a gate's report leaves with the run, and the identity of its configuration."""

import mlflow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.gates.config import config_digest
from mlflow_ext.gates.record import log_report
from mlflow_ext.records import Check, GateReport, Verdict, from_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def report(subject, verdict=Verdict.PASSED):
    return GateReport(
        gate="expectations" if subject.startswith("table:") else "metrics",
        subject=subject,
        checks=(Check(name="rows", verdict=verdict, expected=">= 1", observed=3, rows=3),),
        fingerprints={"flights": "f1"},
        config_digest="c1",
        created_ms=1,
    )


@pytest.mark.parametrize(
    ("subject", "artifact", "tag"),
    [
        ("table:flights", "gates/expectations-flights.json", "gate.expectations.flights"),
        ("models:/delay/3", "gates/metrics.json", "gate.metrics"),
    ],
)
@pytest.mark.parametrize("verdict", Verdict)
def test_a_report_is_an_artifact_that_reads_back_and_a_tag(
    tracking, subject, artifact, tag, verdict
):
    with mlflow.start_run() as active:
        log_report(report(subject, verdict))
    text = mlflow.artifacts.load_text(f"{active.info.artifact_uri}/{artifact}")
    assert from_json(GateReport, text) == report(subject, verdict)
    assert tracking.get_run(active.info.run_id).data.tags[tag] == str(verdict)


@given(st.dictionaries(st.text(), JSON))
def test_the_digest_does_not_depend_on_the_order_of_keys(config):
    digest = config_digest(config)
    assert len(digest) == 64
    assert config_digest(dict(reversed(config.items()))) == digest


@given(JSON, JSON)
def test_one_digest_means_one_configuration(one, other):
    if config_digest(one) == config_digest(other):
        assert one == other
