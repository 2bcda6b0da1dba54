"""The only place that runs Great Expectations: in memory, silent, and with nothing sent anywhere.

Importing it takes seconds, so every function here imports it inside.
"""

from __future__ import annotations

import json
import os
from copy import deepcopy
from string import Template
from typing import TYPE_CHECKING, Any

from mlflow_ext.errors import SuiteError, nearest
from mlflow_ext.gates._suite import label

if TYPE_CHECKING:
    from types import ModuleType

    import pandas as pd
    from great_expectations.core import ExpectationSuite, ExpectationSuiteValidationResult
    from great_expectations.data_context.data_context.ephemeral_data_context import (
        EphemeralDataContext,
    )
    from great_expectations.expectations.expectation import Expectation

# Rows that break a rule are counted in full, but only this many are kept as examples.
EXAMPLES = 20
RESULT_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}


def validate(document: dict[str, Any], frame: pd.DataFrame, table: str) -> dict[str, Any]:
    """Run a suite on a table.

    Args:
        document: The suite as JSON values.
        frame: The table, with the index 0 … n - 1.
        table: Its name, as it shall appear in the result.

    Returns:
        The validation result of Great Expectations as plain JSON values (NaN becomes null).

    Raises:
        SuiteError: An expectation is unknown, has wrong arguments, or raised while it ran.
    """
    suite = build_suite(document)
    context = _silent_context()
    try:
        asset = context.data_sources.add_pandas("pandas").add_dataframe_asset(table)
        rows = asset.add_batch_definition_whole_dataframe("all")
        batch = rows.get_batch(batch_parameters={"dataframe": frame})
        result = _plain(batch.validate(suite, result_format=RESULT_FORMAT))
    finally:
        context.data_sources.delete("pandas")  # the current context outlives us, the rows must not
    for outcome in result["results"]:
        _refuse_raised(suite.name, outcome)
    return result


def build_suite(document: dict[str, Any]) -> ExpectationSuite:
    """Turn JSON into a suite. The constructor of GX only logs what it cannot build and drops it.

    Raises:
        SuiteError: An expectation is unknown or has wrong arguments.
    """
    gx = import_silently()
    built = [_build(document["name"], entry) for entry in document["expectations"]]
    suite: ExpectationSuite = gx.ExpectationSuite(
        name=document["name"],
        expectations=built,
        meta=document.get("meta"),
        notes=document.get("notes"),
    )
    return suite


def restore(result: dict[str, Any]) -> ExpectationSuiteValidationResult:
    """Return the object of Great Expectations that *result* was written from, fit for its pages."""
    from great_expectations.core import expectationSuiteValidationResultSchema

    copy = deepcopy(result)
    for outcome in copy["results"]:
        found = outcome["result"]
        if "element_count" not in found:
            # Rules about sets count values, not rows, and the tables of rows then fail to render.
            outcome["result"] = {k: v for k, v in found.items() if "unexpected" not in k}
    loaded: ExpectationSuiteValidationResult = expectationSuiteValidationResultSchema.load(copy)
    return loaded


def say(config: dict[str, Any]) -> str:
    """Say an expectation in the words of Great Expectations, or as its arguments where it has none.

    Args:
        config: An ``expectation_config`` of a validation result.

    Returns:
        One sentence, e.g. ``temp values must be greater than or equal to -30.``
    """
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.render.renderer.inline_renderer import InlineRenderer

    kwargs = {key: value for key, value in config["kwargs"].items() if key != "batch_id"}
    configuration = ExpectationConfiguration(type=config["type"], kwargs=dict(kwargs))
    content = InlineRenderer(render_object=configuration).get_rendered_content()[0].value
    if content.template is None:
        return ", ".join(f"{key} {value}" for key, value in kwargs.items() if key != "column")
    words = {key: entry.get("value") for key, entry in (content.params or {}).items()}
    return Template(content.template).safe_substitute(words)


def import_silently() -> ModuleType:
    """Import Great Expectations with its usage statistics off.

    The switch is documented, and read on import where a release has anything to send.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations

    return great_expectations


def _silent_context() -> EphemeralDataContext:
    gx = import_silently()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context: EphemeralDataContext = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _build(suite: str, entry: dict[str, Any]) -> Expectation:
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    known = list_registered_expectation_implementations()
    if entry["type"] not in known:
        guess = nearest(entry["type"], known)
        fix = f"write '{guess}' instead of '{entry['type']}'" if guess else "use a known type"
        found = f"unknown expectation type '{entry['type']}'"
        raise SuiteError(suite, found, "an expectation type of Great Expectations", fix)
    try:
        return ExpectationConfiguration(**{**entry, "id": None}).to_domain_obj()
    except (GreatExpectationsError, ValueError, TypeError) as error:
        found = f"{label(entry)} cannot be built: {' '.join(str(error).split())}"
        expected = f"the arguments that {entry['type']} takes"
        raise SuiteError(suite, found, expected, "correct its kwargs") from None


def _refuse_raised(suite: str, outcome: dict[str, Any]) -> None:
    """Raise for an expectation that gave no verdict: GX files it under the failed ones."""
    config, info = outcome["expectation_config"], outcome["exception_info"] or {}
    entries = [info] if "raised_exception" in info else list(info.values())
    messages = [entry["exception_message"] for entry in entries if entry["raised_exception"]]
    if messages:
        raise SuiteError(
            suite,
            f"{label(config)} raised while it ran: {messages[0]}",
            "an expectation that fits the type of its columns",
            "correct the expectation, or the type of the column in the table",
        )


def _plain(validated: ExpectationSuiteValidationResult) -> dict[str, Any]:
    """Return JSON values only: GX leaves NumPy scalars in, on which its own Data Docs then fail."""
    document = validated.to_json_dict()  # type: ignore[no-untyped-call]
    text = json.dumps(document, default=lambda v: v.item() if hasattr(v, "item") else str(v))
    values: dict[str, Any] = json.loads(text, parse_constant=lambda _: None)
    return values
