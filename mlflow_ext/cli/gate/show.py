"""``mlflow-ext gate show MODEL VERSION``: what gates have said about a version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from mlflow_ext.cli._options import model_argument, store_options, version_argument
from mlflow_ext.cli._output import emit
from mlflow_ext.cli.gate._reports import describe_reports

PASSED = "passed"


@click.command()
@model_argument
@version_argument
@store_options
def command(model: str, version: int, tracking_uri: str | None, registry_uri: str | None) -> None:
    """Show the reports there are about VERSION of MODEL.

    On a gated registry the newest evidence of each gate, and why it does not count if it does not;
    on plain MLflow the attached reports, check by check. Answers yes when there are some and all
    have passed.
    """
    from mlflow_ext.registry.remote import find_registry

    registry = find_registry(tracking_uri, registry_uri)
    found = (
        _newest(registry.ask("evidence/list", model=model, version=version))
        if registry
        else _attached(model, version, tracking_uri, registry_uri)
    )
    gates = found["gates"]
    is_passed = bool(gates) and all(map(_is_passed, gates))
    emit({"is_passed": is_passed, "model": model, "version": version, **found}, is_yes=is_passed)


def _is_passed(gate: Mapping[str, Any]) -> bool:
    return gate["verdict"] == PASSED and not gate.get("problem")


def _newest(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the last piece of evidence of each gate; what counts goes before what does not."""
    ordered = sorted(answer["attestations"], key=lambda each: (not each["problem"], each["id"]))
    return {"gates": list({each["gate"]: each for each in ordered}.values())}


def _attached(
    model: str, version: int, tracking_uri: str | None, registry_uri: str | None
) -> dict[str, Any]:
    from mlflow_ext.registry.advisory.evidence import load_evidence
    from mlflow_ext.registry.connection import connect
    from mlflow_ext.registry.snapshot import read_snapshot

    client = connect(tracking_uri, registry_uri)
    evidence = load_evidence(client, read_snapshot(client, model).version(version))
    return {**describe_reports(evidence.reports), "problems": list(evidence.problems)}
