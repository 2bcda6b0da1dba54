"""One outcome of Great Expectations -> one `Check`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlflow_ext.gates._great_expectations import say
from mlflow_ext.gates._suite import label, severity_of
from mlflow_ext.records import Check, Json, Verdict

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 3  # distinct unexpected values named in a line
SYMBOLS = {"IN": "in", "NOT_IN": "not in"}


def check_of(outcome: dict[str, Any], frame: pd.DataFrame) -> Check:
    """Turn one entry of ``results`` into a check.

    Args:
        outcome: ``success``, ``expectation_config`` and ``result``, as plain JSON values.
        frame: The table that was judged, with the index 0 … n - 1.

    Returns:
        A check with the observed value in words, and one row that breaks the rule if GX names one.
    """
    config, result = outcome["expectation_config"], outcome["result"]
    return Check(
        name=label(config),
        verdict=Verdict.PASSED if outcome["success"] else Verdict.FAILED,
        expected=say(config),
        observed=_observed(result),
        rows=result.get("element_count", len(frame)),
        slice=_condition(config["kwargs"].get("row_condition")),
        severity=severity_of(config),
        reason=_note(config),
        example=None if outcome["success"] else _example(config, result, frame),
    )


def _example(
    config: dict[str, Any], result: dict[str, Any], frame: pd.DataFrame
) -> dict[str, Any] | None:
    """Find one row that breaks the rule; a rule about a set names values, and no rows."""
    indices = result.get("partial_unexpected_index_list")
    column, values = config["kwargs"].get("column"), result.get("partial_unexpected_list")
    if not indices and column and values:
        indices = frame.index[frame[column].isin(values)][:1].tolist()
    return _row(frame, indices[0]) if indices else None


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


def _row(frame: pd.DataFrame, index: int) -> dict[str, Any]:
    text = frame.iloc[[index]].to_json(orient="records", date_format="iso")
    row: dict[str, Any] = json.loads(text)[0]
    return row


def _condition(condition: Any) -> str | None:
    """Say a row condition in words, as the subgroup a check is about."""
    if not isinstance(condition, dict):
        return str(condition) if condition else None
    if "conditions" in condition:
        return f" {condition['type']} ".join(str(_condition(c)) for c in condition["conditions"])
    if condition["type"] == "nullity":
        return f"{condition['column']['name']} is {'null' if condition['is_null'] else 'not null'}"
    if condition["type"] == "comparison":
        operator = SYMBOLS.get(condition["operator"], condition["operator"])
        return f"{condition['column']['name']} {operator} {condition['parameter']}"
    return str(condition["pass_through_filter"])
