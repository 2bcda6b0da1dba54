"""Quantiles in SQL and Spark as pandas computes them, by the extension points of GX.

GX takes the first value at or above the rank in SQL, approximates in Spark, and interpolates on
pandas alone. Importing this module imports Great Expectations and registers the rule
``expect_column_interpolated_quantile_values_to_be_between``; nothing of GX is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import ceil, floor
from typing import Any

import sqlalchemy as sa
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.execution_engine.sparkdf_execution_engine import SparkDFExecutionEngine
from great_expectations.execution_engine.sqlalchemy_execution_engine import (
    SqlAlchemyExecutionEngine,
)
from great_expectations.expectations.core.expect_column_quantile_values_to_be_between import (
    ExpectColumnQuantileValuesToBeBetween,
)
from great_expectations.expectations.expectation import ColumnAggregateExpectation
from great_expectations.expectations.metrics.column_aggregate_metric_provider import (
    ColumnAggregateMetricProvider,
)
from great_expectations.expectations.metrics.metric_provider import metric_value

METRIC = "column.interpolated_quantile_values"

Ranked = Callable[[Collection[int]], dict[int, float]]
"""Ranks, 0 … n - 1 -> the values there when the present values are sorted."""


def interpolate(
    ranked: Ranked, count: int, quantiles: Sequence[float], how: str
) -> list[float | None]:
    """Return quantiles as ``pandas.Series.quantile`` does.

    Args:
        ranked: Looks up values by rank.
        count: How many values there are, at least 0.
        quantiles: Each 0 to 1.
        how: ``linear``, ``lower``, ``higher``, ``midpoint`` or ``nearest``.

    Returns:
        One value for each quantile; None for all of them where there are no values.

    >>> interpolate(lambda ranks: {rank: 10.0 * rank for rank in ranks}, 4, [0.5], "linear")
    [15.0]
    """
    if not count:
        return [None] * len(quantiles)
    ranks = [(count - 1) * quantile for quantile in quantiles]
    values = ranked({end for rank in ranks for end in (floor(rank), ceil(rank))})
    return [_between(rank, values[floor(rank)], values[ceil(rank)], how) for rank in ranks]


def _between(rank: float, lower: float, higher: float, how: str) -> float:
    share = {
        "linear": rank - floor(rank),
        "lower": 0.0,
        "higher": 1.0,
        "midpoint": 0.5,
        "nearest": round(rank) - floor(rank),  # both Python and NumPy round halves to even
    }[how]
    return lower + (higher - lower) * share


class ColumnInterpolatedQuantileValues(ColumnAggregateMetricProvider):
    """The metric, for the two engines that have another one of their own."""

    metric_name = METRIC
    value_keys = ("quantiles", "allow_relative_error")

    @metric_value(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(
        cls,  # noqa: N805
        execution_engine: Any,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> list[float | None]:
        table, _, accessor = execution_engine.get_compute_domain(
            metric_domain_kwargs, domain_type=MetricDomainTypes.COLUMN
        )
        column: sa.ColumnClause[Any] = sa.column(accessor["column"])
        rank = (sa.func.row_number().over(order_by=column) - 1).label("value_rank")
        present = sa.select(column.label("value"), rank).select_from(table)
        sorted_values = present.where(column.is_not(None)).subquery()

        def ranked(ranks: Collection[int]) -> dict[int, float]:
            at = sorted_values.c.value_rank
            query = sa.select(at, sorted_values.c.value).where(at.in_(ranks))
            rows = execution_engine.execute_query(query)
            return {int(rank): float(value) for rank, value in rows}

        counting = sa.select(sa.func.count(column)).select_from(table)
        count = execution_engine.execute_query(counting).scalar()
        return interpolate(ranked, count, *_asked(metric_value_kwargs))

    @metric_value(engine=SparkDFExecutionEngine)
    def _spark(
        cls,  # noqa: N805
        execution_engine: Any,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> list[float | None]:
        frame, _, accessor = execution_engine.get_compute_domain(
            metric_domain_kwargs, domain_type=MetricDomainTypes.COLUMN
        )
        column = "`" + accessor["column"].replace("`", "``") + "`"
        count = frame.selectExpr(f"count({column})").first()[0]

        def ranked(ranks: Collection[int]) -> dict[int, float]:
            # The exact percentile at rank / (n - 1) is the value at that rank.
            shares = ", ".join(f"{rank / max(count - 1, 1)!r}D" for rank in ranks)
            values = frame.selectExpr(f"percentile({column}, array({shares}))").first()[0]
            return dict(zip(ranks, values, strict=True))

        return interpolate(ranked, count, *_asked(metric_value_kwargs))


def _asked(kwargs: dict[str, Any]) -> tuple[list[float], str]:
    return kwargs["quantiles"], kwargs.get("allow_relative_error") or "nearest"


class ExpectColumnInterpolatedQuantileValuesToBeBetween(ExpectColumnQuantileValuesToBeBetween):
    """``expect_column_quantile_values_to_be_between`` with the metric above."""

    metric_dependencies = (METRIC,)

    def get_validation_dependencies(self, *args: Any, **kwargs: Any) -> Any:
        """Return what GX has to compute, the quantiles among it."""
        # The parent insists on its own metric, its parent does not.
        found = ColumnAggregateExpectation.get_validation_dependencies(self, *args, **kwargs)
        metric: Any = found.get_metric_configuration(metric_name=METRIC)
        metric.metric_value_kwargs["quantiles"] = self.configuration.kwargs["quantile_ranges"][
            "quantiles"
        ]
        return found

    def _validate(self, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return super()._validate({"column.quantile_values": metrics[METRIC]}, *args, **kwargs)
