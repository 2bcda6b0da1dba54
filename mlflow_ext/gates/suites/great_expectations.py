"""The only place that runs Great Expectations: in memory, silent, and with nothing sent anywhere.

Importing it takes seconds, so every function here imports it inside.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from copy import deepcopy
from io import StringIO
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings

from mlflow_ext.errors import SuiteError, nearest
from mlflow_ext.gates.suites.document import Expectation as Entry
from mlflow_ext.gates.suites.document import label
from mlflow_ext.gates.suites.engines.interface import Document
from mlflow_ext.gates.suites.engines.results import Outcome, plain_json, result_of

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
POSITION = "position"
QUANTILES = "expect_column_quantile_values_to_be_between"
RESULT_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}


def judge_frame(document: Document, frame: pd.DataFrame, table: str) -> dict[str, Any]:
    """Run a suite on rows in memory.

    Args:
        document: The suite as JSON values.
        frame: The table, with the index 0 … n - 1.
        table: Its name, as it shall appear in the result.

    Returns:
        The validation result of Great Expectations as plain JSON values (NaN becomes null).

    Raises:
        SuiteError: An expectation is unknown or has wrong arguments.
    """
    runs = [{**document, "expectations": run} for run in _runs(_numbered(document))]
    suites = [build_suite(run) for run in runs]
    context = silent_context()
    try:
        asset = context.data_sources.add_pandas("pandas").add_dataframe_asset(table)
        rows = asset.add_batch_definition_whole_dataframe("all")
        batch = rows.get_batch(batch_parameters={"dataframe": frame})
        validated = [batch.validate(suite, result_format=RESULT_FORMAT) for suite in suites]
    finally:
        context.data_sources.delete("pandas")  # the current context outlives us, the rows must not
    documents = [each.to_json_dict() for each in validated]  # type: ignore[no-untyped-call]
    results = [plain_json(each) for each in documents]
    outcomes = [outcome for result in results for outcome in result["results"]]
    return result_of(document, _in_order(outcomes, document), results[0]["meta"])


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


def _numbered(document: Document) -> list[Entry]:
    """Write into each expectation where it stands: GX answers in an order of its own."""
    entries = document["expectations"]
    return [{**entry, "meta": {POSITION: n}} for n, entry in enumerate(entries)]


def _runs(entries: list[Entry]) -> list[list[Entry]]:
    """Keep apart what GX mixes up: in a run, it computes the quantiles of a column only once."""
    seen: Counter[str] = Counter()
    runs: defaultdict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        column = str(entry["kwargs"].get("column")) if entry["type"] == QUANTILES else ""
        runs[seen[column]].append(entry)
        seen[column] += bool(column)
    return [runs[number] for number in sorted(runs)]


def _in_order(outcomes: list[Outcome], document: Document) -> list[Outcome]:
    """Return *outcomes* in the order of the suite, each with the ``meta`` that stands there."""
    by_position = {o["expectation_config"]["meta"][POSITION]: o for o in outcomes}
    for position, entry in enumerate(document["expectations"]):
        by_position[position]["expectation_config"]["meta"] = entry.get("meta") or {}
    return [outcome for _, outcome in sorted(by_position.items())]


def import_silently() -> ModuleType:
    """Import Great Expectations with its usage statistics off.

    The switch is documented, and read on import where a release has anything to send.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with _pyspark_kept_quiet():
        import great_expectations

    return great_expectations


@contextmanager
def _pyspark_kept_quiet() -> Iterator[None]:
    """Guard an import that imports pyspark where that is installed.

    It warns about pandas; and under ``python -c`` it takes a main module without a file for a run
    of its own doctests, and ends the process with status 0 when grpc is missing.
    """
    main = vars(sys.modules["__main__"])
    is_nameless = main.setdefault("__file__", "-c") == "-c"
    try:
        with redirect_stderr(StringIO()), catch_warnings(action="ignore"):
            yield
    finally:
        if is_nameless:
            del main["__file__"]


def silent_context() -> EphemeralDataContext:
    """Return a context without progress bars and without a file."""
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
