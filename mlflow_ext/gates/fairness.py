"""The gate ``fairness``: do all groups of people, or of flights, get the same treatment?

Rates are those of Fairlearn's ``MetricFrame``. How sure a gap is comes from
`mlflow_ext.evaluation.statistics.disparity`, since the largest gap among many groups is large by
luck alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.evaluation.predictions import Predictions
from mlflow_ext.evaluation.statistics.binning import cut
from mlflow_ext.evaluation.statistics.confusion import PROPORTIONS, count_confusion
from mlflow_ext.evaluation.statistics.disparity import Rates, largest_difference, smallest_ratio
from mlflow_ext.evaluation.statistics.estimates import Estimate
from mlflow_ext.evaluation.statistics.groups import Groups, group_by
from mlflow_ext.gates.acceptance import Accepted, judge_estimate
from mlflow_ext.gates.candidate import Candidate
from mlflow_ext.gates.interface import Gate
from mlflow_ext.gates.support import check_support
from mlflow_ext.project import STRICT, Text
from mlflow_ext.records import Check, Severity, Verdict

if TYPE_CHECKING:
    import pandas as pd

CRITERIA = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("recall",),
    "predictive_equality": ("false_positive_rate",),
    "equalized_odds": ("recall", "false_positive_rate"),
}
RATES = tuple(dict.fromkeys(rate for rates in CRITERIA.values() for rate in rates))
UNDEFINED = "the rate is zero in every group"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Limit:
    """How far apart the groups may be."""

    max_difference: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Highest rate minus lowest, in (0, 1)."""
    min_ratio: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Lowest rate by highest, in (0, 1); 0.8 is the four-fifths rule."""

    def __post_init__(self) -> None:
        if self.max_difference is self.min_ratio is None:
            raise ValueError("max_difference, min_ratio or both")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FairnessGate(Gate):
    """Rates must not lie apart between the groups of a sensitive column."""

    columns: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Sensitive columns of the holdout; the model need not know them. A missing value is a group,
    and a number with more than `bins` values is cut at its quantiles."""
    demographic_parity: Limit | None = None
    """Of the selection rate: the share of a group that is predicted positive."""
    equal_opportunity: Limit | None = None
    """Of recall (the true positive rate): the share that is found of those who are positive."""
    predictive_equality: Limit | None = None
    """Of the false positive rate: the share that is predicted positive of those who are not."""
    equalized_odds: Limit | None = None
    """Of recall and the false positive rate, whichever is further apart."""
    minimum_rows: Annotated[int, Field(ge=10)] = 100
    """Rows that a group needs to be compared, in each rate that is asked for: positives for recall,
    negatives for the false positive rate."""
    small_groups: Severity = Severity.BLOCK
    """Whether a group with fewer rows keeps the gate from passing (block) or is told (warn)."""
    bins: Annotated[int, Field(ge=2)] = 10
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of each two-sided interval; it holds for all groups of a column together."""

    def __post_init__(self) -> None:
        if not self.limits:
            raise ValueError(f"a limit for one of {', '.join(CRITERIA)}")

    @property
    def limits(self) -> dict[str, Limit]:
        """Criterion -> limit, of those that are asked for."""
        asked = {criterion: getattr(self, criterion) for criterion in CRITERIA}
        return {criterion: limit for criterion, limit in asked.items() if limit}

    @property
    def rates(self) -> tuple[str, ...]:
        """The rates that are asked for."""
        asked = (rate for criterion in self.limits for rate in CRITERIA[criterion])
        return tuple(dict.fromkeys(asked))

    def judge(self, candidate: Candidate) -> Iterator[Check]:
        """As `Gate.judge`: for each column one check per limit, and one of the groups too small.

        The rates of all groups are left in the candidate's attachments as ``fairness``.
        """
        import pandas as pd

        frame = cut(candidate.holdout, self.columns, self.bins)
        tables = {
            column: measure_rates(candidate.predictions, group_by(frame, [column]))
            for column in self.columns
        }
        candidate.attachments["fairness"] = pd.concat(tables.values(), ignore_index=True)
        for column, table in tables.items():
            yield from judge_rates(self, column, table)


def measure_rates(predictions: Predictions, groups: Groups) -> pd.DataFrame:
    """Compute Fairlearn's rates of each group.

    Rows that are alike to Fairlearn (same group, label and decision) are counted first and weighed
    by their number, which yields the same rates in a hundredth of the time.

    Args:
        predictions: What the model said.
        groups: The groups of its rows, by one column.

    Returns:
        One row per group: ``column``, ``group``, then for each rate its value and its ``rows``,
        e.g. ``recall`` and ``recall_rows``; NaN where a rate is about no row.
    """
    import pandas as pd
    from fairlearn.metrics import (
        MetricFrame,
        false_positive_rate,
        selection_rate,
        true_positive_rate,
    )

    counts = count_confusion(predictions, groups.codes, len(groups.keys))
    cells = np.arange(4 * len(groups.keys))
    negatives = [counts.true_negatives, counts.false_positives]
    weights = np.column_stack([*negatives, counts.false_negatives, counts.true_positives]).ravel()
    by_group = MetricFrame(
        metrics=dict(
            zip(RATES, (selection_rate, true_positive_rate, false_positive_rate), strict=True)
        ),
        y_true=cells // 2 % 2,
        y_pred=cells % 2,
        sensitive_features=cells // 4,
        sample_params={rate: {"sample_weight": weights} for rate in RATES},
    ).by_group
    names = [key[0] for key in groups.keys]
    table = pd.DataFrame({"column": groups.columns[0], "group": names})
    for rate in RATES:
        table[f"{rate}_rows"] = rows = PROPORTIONS[rate](counts)[1]
        table[rate] = by_group[rate].where(rows > 0)
    return table


def judge_rates(gate: FairnessGate, column: str, table: pd.DataFrame) -> Iterator[Check]:
    """Compare the groups of one column.

    Args:
        gate: The limits.
        column: Its name.
        table: As of `measure_rates`.

    Yields:
        One check per limit, of the groups with rows enough, and one of those without. A column with
        one group is skipped: there is nothing to compare.
    """
    if len(table) == 1:
        yield _skip(column, table.group[0])
        return
    support = table[[f"{rate}_rows" for rate in gate.rates]].min(axis=1)
    large = table[support >= gate.minimum_rows]
    is_compared = len(large) > 1
    if is_compared:
        for criterion, limit in gate.limits.items():
            rates = [
                Rates(large[r].to_numpy(), large[f"{r}_rows"].to_numpy())
                for r in CRITERIA[criterion]
            ]
            for name, estimate, accepted in _compare(limit, rates, gate.level):
                yield judge_estimate(
                    f"{criterion}_{name}", estimate, accepted, part=column, why=UNDEFINED
                )
    counts = dict(zip(column + "=" + table.group, support, strict=True))
    severity = gate.small_groups if is_compared else Severity.BLOCK
    yield from check_support(column, counts, gate.minimum_rows, severity)


def _compare(
    limit: Limit, rates: list[Rates], level: float
) -> Iterator[tuple[str, Estimate, Accepted]]:
    if limit.max_difference is not None:
        yield "difference", largest_difference(rates, level), Accepted(high=limit.max_difference)
    if limit.min_ratio is not None:
        yield "ratio", smallest_ratio(rates, level), Accepted(low=limit.min_ratio)


def _skip(column: str, group: str) -> Check:
    return Check(
        name="groups",
        verdict=Verdict.SKIPPED,
        expected="two groups or more",
        observed=1,
        slice=column,
        reason=f"all rows have {column}={group}: there is nothing to compare",
    )
