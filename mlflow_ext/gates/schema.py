"""The gate ``schema``: do training, signature and serving mean the same by a row?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.evaluation.statistics.domain import is_ordered, is_outside, is_unseen, measure_share
from mlflow_ext.gates._column_types import declared_type, fits, kind_of
from mlflow_ext.gates.acceptance import Accepted, judge_estimate
from mlflow_ext.gates.interface import Gate
from mlflow_ext.project import STRICT
from mlflow_ext.records import Check, Verdict

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model
    from mlflow.types import ColSpec, TensorSpec

    from mlflow_ext.gates.candidate import Candidate

    Spec = ColSpec | TensorSpec

TRAINING, EXAMPLE = "training", "input example"
NO_TRAINING = "nobody says which rows it has learned from: name them as the training data"
Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SchemaGate(Gate):
    """What is asked must be what was learned: names, types, and where the values lie."""

    max_missing: Share = 0.0
    """Share of rows in which an input that the signature requires may be missing."""
    max_unseen: Share = 0.01
    """Share of rows whose category never occurred in the training."""
    max_outside: Share = 0.01
    """Share of rows whose number lies outside the range of the training."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of the two-sided intervals of the shares of unseen and outside values."""

    def judge(self, candidate: Candidate) -> Iterator[Check]:
        """As `Gate.judge`: checks of each table against the signature, then of each input."""
        schema = candidate.metadata.get_input_schema()  # type: ignore[no-untyped-call]
        yield judge_signature(candidate.metadata)
        if schema is None:
            return
        if schema.has_input_names():
            specs = {spec.name: spec for spec in schema.inputs}
            inputs = [name for name in specs if name in candidate.holdout]
            yield from self._judge_named(candidate, specs)
        else:
            inputs = [name for name in candidate.holdout if name != candidate.label.column]
            yield from _judge_unnamed(candidate, inputs, schema.inputs)
        yield from self._judge_values(candidate, inputs)

    def _judge_named(self, candidate: Candidate, specs: Mapping[str, Spec]) -> Iterator[Check]:
        for table, frame in _tables(candidate).items():
            yield judge_columns(table, frame, specs)
            yield judge_types(table, frame, specs)
        for name, spec in specs.items():
            if spec.required and name in candidate.holdout:
                yield judge_missing(candidate.holdout[name], self.max_missing)

    def _judge_values(self, candidate: Candidate, inputs: Sequence[str]) -> Iterator[Check]:
        """Compare where the values lie, input by input."""
        holdout, training = candidate.holdout, candidate.training
        if training is None:
            yield _unjudged("values", "those of the training", Verdict.SKIPPED, NO_TRAINING)
        elif holdout.empty:
            reason = "there are no rows: add some to the data"
            yield _unjudged("values", "at least one row", Verdict.INCONCLUSIVE, reason)
        else:
            for name in inputs:
                if name in training:
                    yield self._judge_column(holdout[name], training[name])

    def _judge_column(self, column: pd.Series, learned: pd.Series) -> Check:
        if is_ordered(column) and is_ordered(learned):
            return judge_range(column, learned, self.max_outside, self.level)
        return judge_categories(column, learned, self.max_unseen, self.level)


def judge_signature(metadata: Model) -> Check:
    """Ask whether a model says what it takes."""
    has_one = metadata.signature is not None and metadata.signature.inputs is not None
    return Check(
        name="signature",
        verdict=Verdict.PASSED if has_one else Verdict.INCONCLUSIVE,
        expected="the names and types of all inputs",
        observed=has_one,
        reason="" if has_one else "log it again with signature=mlflow.models.infer_signature(rows)",
    )


def judge_columns(table: str, frame: pd.DataFrame, specs: Mapping[str, Spec]) -> Check:
    """Ask whether a table holds every input that the signature requires."""
    absent = [name for name, spec in specs.items() if spec.required and name not in frame]
    return Check(
        name=f"columns({table})",
        verdict=Verdict.FAILED if absent else Verdict.PASSED,
        expected="every input that the signature requires",
        observed={"absent": absent},
        rows=len(frame),
    )


def judge_types(table: str, frame: pd.DataFrame, specs: Mapping[str, Spec]) -> Check:
    """Ask whether the columns of a table have the types of the signature.

    Whole numbers where doubles are asked for are fine: they are converted before the model is
    asked. A column without values has any type.
    """
    found = {name: kind_of(frame[name]) for name in specs if name in frame}
    wrong = {
        name: f"{kind}, not {declared_type(specs[name])}"
        for name, kind in found.items()
        if not fits(kind, specs[name])
    }
    return Check(
        name=f"types({table})",
        verdict=Verdict.FAILED if wrong else Verdict.PASSED,
        expected="the types of the signature",
        observed=dict(wrong),
        rows=len(frame),
    )


def judge_missing(column: pd.Series, max_missing: float) -> Check:
    """Compare the share of rows without a value that the signature requires with a ceiling.

    These rows are all that there are, not a sample: their share has no interval.
    """
    share = float(column.isna().mean())
    is_good = share <= max_missing
    fix = "infer the signature from rows in which it is missing too, and it becomes optional"
    return Check(
        name=f"missing({column.name})",
        verdict=Verdict.PASSED if is_good else Verdict.FAILED,
        expected=f"<= {max_missing:g}",
        observed=share,
        rows=len(column),
        reason="" if is_good else fix,
    )


def judge_categories(
    column: pd.Series, learned: pd.Series, max_unseen: float, level: float = 0.95
) -> Check:
    """Compare the share of rows whose category was never learned with a ceiling.

    Args:
        column: Shape (rows,), named; at least one row.
        learned: The same column of the training.
        max_unseen: Share of rows, in [0, 1).
        level: Confidence of the two-sided interval.
    """
    unseen = is_unseen(column, learned)
    check = judge_estimate(
        f"unseen({column.name})", measure_share(unseen, level), Accepted(high=max_unseen)
    )
    return _add_reason(check, _listed(sorted(map(str, column[unseen].unique()))))


def judge_range(
    column: pd.Series, learned: pd.Series, max_outside: float, level: float = 0.95
) -> Check:
    """Compare the share of rows outside the range of the training with a ceiling.

    Args:
        column: Shape (rows,), named; numbers or times, at least one row.
        learned: The same column of the training.
        max_outside: Share of rows, in [0, 1).
        level: Confidence of the two-sided interval.
    """
    outside = is_outside(column, learned)
    check = judge_estimate(
        f"outside({column.name})", measure_share(outside, level), Accepted(high=max_outside)
    )
    where = f"the training lies in [{learned.min()}, {learned.max()}]"
    return _add_reason(check, where if outside.any() else "")


def _tables(candidate: Candidate) -> dict[str, pd.DataFrame]:
    """Every table that rows of this model come in."""
    import pandas as pd

    example = candidate.metadata.load_input_example(str(candidate.files))
    found = {
        candidate.subject.name: candidate.holdout,
        TRAINING: candidate.training,
        EXAMPLE: example if isinstance(example, pd.DataFrame) else None,
    }
    return {name: frame for name, frame in found.items() if frame is not None}


def _judge_unnamed(
    candidate: Candidate, inputs: Sequence[str], specs: Sequence[Spec]
) -> Iterator[Check]:
    """Judge inputs without names, a tensor or columns: they are told apart by their order."""
    shape = getattr(specs[0], "shape", None)  # of a tensor; columns have none
    width = shape[-1] if shape else len(specs)
    yield Check(
        name=f"width({candidate.subject.name})",
        verdict=Verdict.PASSED if len(inputs) == width else Verdict.FAILED,
        expected=f"{width} columns beside the target",
        observed=len(inputs),
    )
    if candidate.training is None:
        yield _unjudged("order", "that of the training", Verdict.SKIPPED, NO_TRAINING)
        return
    learned = [name for name in candidate.training if name != candidate.label.column]
    yield Check(
        name="order",
        verdict=Verdict.PASSED if inputs == learned else Verdict.FAILED,
        expected=", ".join(map(str, learned)),
        observed=list(inputs),
    )


def _unjudged(name: str, expected: str, verdict: Verdict, reason: str) -> Check:
    return Check(name=name, verdict=verdict, expected=expected, reason=reason)


def _add_reason(check: Check, reason: str) -> Check:
    return replace(check, reason="; ".join(filter(None, [check.reason, reason])))


def _listed(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
