"""One outcome of an engine -> one `Check`."""

from __future__ import annotations

from typing import Any

from mlflow_ext.gates.suites.document import label, severity_of
from mlflow_ext.gates.suites.engines.interface import Validation
from mlflow_ext.gates.suites.engines.results import raised_text
from mlflow_ext.gates.suites.words import say
from mlflow_ext.records import Check, Json, Verdict

SHOWN = 3  # distinct unexpected values named in a line
SYMBOLS = {"IN": "in", "NOT_IN": "not in"}


def checks_of(validation: Validation) -> tuple[Check, ...]:
    """Turn what an engine found into checks, one per expectation."""
    outcomes = validation.result["results"]
    pairs = zip(outcomes, validation.examples, strict=True)
    return tuple(_check(outcome, example, validation.rows) for outcome, example in pairs)


def _check(outcome: dict[str, Any], example: dict[str, Any] | None, rows: int) -> Check:
    config, result = outcome["expectation_config"], outcome["result"]
    raised = raised_text(outcome)
    held = outcome["success"] and raised is None
    return Check(
        name=label(config),
        verdict=Verdict.PASSED if held else Verdict.FAILED,
        expected=say(config),
        observed=_observed(result),
        rows=result.get("element_count", rows),
        slice=condition_of(config["kwargs"].get("row_condition")),
        severity=severity_of(config),
        reason=_note(config) if raised is None else f"raised while it ran: {raised}",
        example=example,
    )


def _observed(result: dict[str, Any]) -> Json:
    if "element_count" in result:
        return _count(result)
    if "partial_missing_list" in result:
        sets = {"unexpected": "partial_unexpected_list", "absent": "partial_missing_list"}
        return {word: result.get(key, []) for word, key in sets.items()}
    mismatched: Json = (result.get("details") or {}).get("mismatched")
    return mismatched or result.get("observed_value")


def _count(result: dict[str, Any]) -> str:
    judged = result["element_count"] - result.get("missing_count", 0)
    line = f"{result['unexpected_count']} of {judged} unexpected"
    values = list(dict.fromkeys(_shown(v) for v in result.get("partial_unexpected_list", ())))
    percent = f" ({result['unexpected_percent']:.3g} %): " if values else ""
    return line + percent + ", ".join(values[:SHOWN])


def _shown(value: Json) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_shown(part)}" for key, part in value.items()) + ")"
    if isinstance(value, list):
        return "(" + ", ".join(map(_shown, value)) + ")"
    return "null" if value is None else str(value)


def _note(config: dict[str, Any]) -> str:
    notes = config.get("notes") or (config.get("meta") or {}).get("notes") or ""
    return " ".join(notes) if isinstance(notes, list) else str(notes)


def condition_of(condition: Any) -> str | None:
    """Say a row condition in words, as the subgroup a check is about."""
    if not isinstance(condition, dict):
        return str(condition) if condition else None
    if "conditions" in condition:
        return f" {condition['type']} ".join(str(condition_of(c)) for c in condition["conditions"])
    if condition["type"] == "nullity":
        return f"{condition['column']['name']} is {'null' if condition['is_null'] else 'not null'}"
    if condition["type"] == "comparison":
        operator = SYMBOLS.get(condition["operator"], condition["operator"])
        return f"{condition['column']['name']} {operator} {condition['parameter']}"
    return str(condition["pass_through_filter"])
