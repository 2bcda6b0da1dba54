"""The gate ``leakage``: does the model know what it cannot know when it is asked?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.errors import UnknownNameError
from mlflow_ext.evaluation.statistics.overlap import find_shared
from mlflow_ext.evaluation.statistics.single_feature import measure_feature
from mlflow_ext.gates.acceptance import Accepted, judge_estimate
from mlflow_ext.gates.interface import Gate
from mlflow_ext.project import STRICT, Text
from mlflow_ext.records import Check, Verdict

if TYPE_CHECKING:
    import pandas as pd

    from mlflow_ext.evaluation.predictions import Array
    from mlflow_ext.gates.candidate import Candidate


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LeakageGate(Gate):
    """No input from after the event, none that gives the outcome away, no row learned by heart."""

    known_afterwards: tuple[Text, ...] = ()
    """Columns that are known only after the event: the model must ask for none of them."""
    max_auc: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """The most that any single input may reach as a prediction of its own."""
    max_shared: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the holdout's rows that may also be rows of the training."""
    keys: tuple[Text, ...] = ()
    """Columns beside inputs and target that tell rows apart, such as an id or a time."""
    repeated_rows: Literal["counted", "ignored"] = "counted"
    """*ignored* where equal rows are nothing special, because inputs have few values."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of the two-sided interval of the ROC AUC."""

    def judge(self, candidate: Candidate) -> Iterator[Check]:
        """As `Gate.judge`: one check of what is known afterwards, one per input, one of the rows.

        Raises:
            UnknownNameError: A key is no column of both tables.
        """
        inputs = candidate.select_inputs(candidate.holdout)
        names = [str(name) for name in inputs]
        if self.known_afterwards:
            yield judge_names(names, self.known_afterwards)
        yield from self._judge_features(inputs, candidate.labels)
        yield self._judge_rows(candidate, names)

    def _judge_features(self, inputs: pd.DataFrame, labels: Array) -> Iterator[Check]:
        for name in inputs:
            yield judge_feature(inputs[name], labels, self.max_auc, self.level)

    def _judge_rows(self, candidate: Candidate, inputs: Sequence[str]) -> Check:
        columns = list(dict.fromkeys([*inputs, *self.keys, candidate.label.column]))
        training, expected = candidate.training, f"<= {self.max_shared:g}"
        if training is None:
            reason = "nobody says which rows it has learned from: name them as the training data"
            return Check(
                name="shared_rows", verdict=Verdict.SKIPPED, expected=expected, reason=reason
            )
        for table, frame in {
            candidate.subject.name: candidate.holdout,
            "training": training,
        }.items():
            for column in columns:
                if column not in frame:
                    raise UnknownNameError("column", column, list(frame.columns), table)
        is_once = self.repeated_rows == "ignored"
        shared = find_shared(candidate.holdout, training, columns, once=is_once)
        return judge_shared(shared, candidate.holdout, self.max_shared)


def judge_names(inputs: Sequence[str], known_afterwards: Sequence[str]) -> Check:
    """Look for inputs that are known only after the event."""
    found = sorted(set(inputs) & set(known_afterwards))
    return Check(
        name="known_afterwards",
        verdict=Verdict.FAILED if found else Verdict.PASSED,
        expected="none of " + ", ".join(known_afterwards),
        observed=list(found),
        reason="train without them: nobody knows them when the model is asked" if found else "",
    )


def judge_feature(feature: pd.Series, labels: Array, max_auc: float, level: float = 0.95) -> Check:
    """Compare the ROC AUC of one input alone with the most that is plausible.

    Args:
        feature: Shape (rows,), named.
        labels: Shape (rows,), 0 or 1.
        max_auc: In (0.5, 1).
        level: Confidence of the two-sided interval.

    Returns:
        As `judge_estimate`; inconclusive when the labels are of one class.
    """
    name = f"auc_alone({feature.name})"
    if labels.all() or not labels.any():
        reason = "all rows are of one class: judge rows with both outcomes"
        return Check(
            name=name, verdict=Verdict.INCONCLUSIVE, expected=f"<= {max_auc:g}", reason=reason
        )
    return judge_estimate(name, measure_feature(feature, labels, level), Accepted(high=max_auc))


def judge_shared(shared: Array, rows: pd.DataFrame, max_shared: float) -> Check:
    """Compare the share of rows that were learned from with the most that is allowed.

    These rows are all that there are, not a sample: their share has no interval.

    Args:
        shared: Shape (rows,), True where the model has learned from the row.
        rows: The rows, at least one.
        max_shared: Share in [0, 1).
    """
    share = float(shared.mean())
    return Check(
        name="shared_rows",
        verdict=Verdict.PASSED if share <= max_shared else Verdict.FAILED,
        expected=f"<= {max_shared:g}",
        observed=share,
        rows=len(rows),
        reason=f"{shared.sum()} of {len(rows)} rows were learned from" if shared.any() else "",
        example=_shown(rows[shared]) if shared.any() else None,
    )


def _shown(rows: pd.DataFrame) -> dict[str, str]:
    """The first row as text."""
    return {str(name): str(value) for name, value in rows.iloc[0].items()}
