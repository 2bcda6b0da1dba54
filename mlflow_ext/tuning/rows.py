"""The rows of a study: what may be used, which part a step sees, how workers get them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlflow_ext.data.fingerprint import fingerprint_table
from mlflow_ext.errors import SearchError, TableError
from mlflow_ext.tuning.attributes import ROWS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import optuna
    import pandas as pd

    from mlflow_ext.project import Search

    Fold = tuple[np.ndarray, np.ndarray]
    """Positions of the rows to fit on, and of those to score."""

TARGET, TIME = "mlflow_ext.target", "mlflow_ext.time"


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The rows a trial learns from and those that score it."""

    train_x: pd.DataFrame
    train_y: pd.Series
    """0 or 1 for each row of *train_x*; 1 is the positive class."""
    validation_x: pd.DataFrame
    validation_y: pd.Series
    """0 or 1 for each row of *validation_x*."""
    train_time: pd.Series | None = None
    """When each row of *train_x* happened; what cross-validation by time goes by."""


def check_tables(tables: Tables, search: Search | None = None) -> None:
    """Find out before a study begins whether its tables can train and score a classifier.

    Raises:
        TableError: A table is empty, its target does not hold both 0 and 1, or a fold of the
            cross-validation that *search* asks for would not.
    """
    _check_table("training", tables.train_x, tables.train_y)
    _check_table("validation", tables.validation_x, tables.validation_y)
    if search and search.cv:
        for number, fold in enumerate(draw_folds(tables, search)):
            for rows in fold:
                x, y = tables.train_x.iloc[rows], tables.train_y.iloc[rows]
                _check_table(f"fold {number} of training", x, y)


def bind_rows(study: optuna.Study, tables: Tables) -> None:
    """Tie *study* to the content of *tables*: values on other rows cannot be compared.

    Raises:
        SearchError: The study was begun on other rows.
    """
    found = fingerprint_rows(tables)
    begun = study.user_attrs.get(ROWS)
    if begun is None:
        study.set_user_attr(ROWS, found)
    elif begun != found:
        raise SearchError(
            f"study '{study.study_name}' was begun on other rows: {begun}, now {found}",
            "the training and validation rows the study was begun on",
            "choose another study name",
        )


def fingerprint_rows(tables: Tables) -> list[str]:
    """Return the fingerprint of the training rows and of the validation rows."""
    parts = ((tables.train_x, tables.train_y), (tables.validation_x, tables.validation_y))
    return [fingerprint_table(x.assign(target=y)).digest for x, y in parts]


def keep_back(tables: Tables, moments: pd.Series, share: float) -> tuple[Tables, Tables]:
    """Keep the latest validation rows from the search.

    Args:
        tables: All rows.
        moments: When each validation row happened, in their order; those of one moment stay
            together.
        share: Of the validation rows, in (0, 1); what is kept is as much or a little more.

    Returns:
        The rows of the search, and the same training rows with the validation rows kept back.

    Raises:
        TableError: The validation rows are of too few moments, or one has no time.
    """
    _check_moments("validation", moments)
    place = moments.rank(method="max", pct=True).to_numpy()  # share of rows that are no later
    is_late = place > 1 - share
    if is_late.all():
        raise TableError(
            "validation",
            f"rows of {moments.nunique()} moments, of which the search would get none",
            "rows before and after a moment",
            "keep less back in search.rescore.share, or ask for more validation months",
        )
    early, late = (
        replace(
            tables, validation_x=tables.validation_x[kept], validation_y=tables.validation_y[kept]
        )
        for kept in (~is_late, is_late)
    )
    return early, late


def nested_subsets(target: Any, fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Draw growing shares of the rows, each holding the one before and the same mix of classes.

    Args:
        target: The class of each row, shape (n,).
        fractions: Growing shares in (0, 1].
        seed: Equal seeds draw equal rows.

    Returns:
        One array of row positions for each fraction, in the order of the table.

    >>> [rows.tolist() for rows in nested_subsets([0, 1, 0, 1], [0.5, 1.0], seed=0)]
    [[0, 1], [0, 1, 2, 3]]
    """
    import numpy as np

    labels = np.asarray(target)
    random = np.random.default_rng(seed)
    place = np.empty(len(labels))
    classes = np.unique(labels)
    for label in classes:
        rows = np.flatnonzero(labels == label)
        place[rows] = random.permutation(len(rows)) / len(rows)
    order = np.argsort(place, kind="stable")
    sizes = [max(len(classes), math.ceil(len(labels) * fraction)) for fraction in fractions]
    return [np.sort(order[:size]) for size in sizes]


def draw_folds(tables: Tables, search: Search) -> list[Fold]:
    """Cut the training rows into the folds that *search* asks for.

    Drawn at random with the same mix of classes in each; or by time, each fold scored by a model
    of everything before it, rows of one moment never on both sides.

    Args:
        tables: With times where the folds go by them.
        search: With ``cv``.

    Raises:
        TableError: There are too few rows or moments, or times are missing.
    """
    from sklearn.model_selection import StratifiedKFold, TimeSeriesSplit

    assert search.cv
    folds = search.cv.folds
    try:
        if not search.cv.by_time:
            drawn = StratifiedKFold(folds, shuffle=True, random_state=search.seed)
            return list(drawn.split(tables.train_x, tables.train_y))
        moment_of = _order_moments(tables)
        cuts = TimeSeriesSplit(folds).split(range(moment_of.max() + 1))
        return [(_rows_of(moment_of, before), _rows_of(moment_of, after)) for before, after in cuts]
    except ValueError as error:
        fix = "ask for fewer folds in search.cv"
        raise TableError("training", str(error), f"rows for {folds} folds", fix) from error


def store_tables(tables: Tables, folder: Path) -> None:
    """Write *tables* as Parquet, for the processes that run trials; again is no work."""
    train = tables.train_x.assign(**{TARGET: tables.train_y})
    if tables.train_time is not None:
        train[TIME] = tables.train_time
    validation = tables.validation_x.assign(**{TARGET: tables.validation_y})
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in (("train", train), ("validation", validation)):
        file = folder / f"{name}.parquet"
        if not file.exists():
            part = file.with_suffix(".part")
            frame.to_parquet(part)
            part.replace(file)  # whole, or not there


def load_tables(folder: Path) -> Tables:
    """Read what `store_tables` wrote."""
    import pandas as pd

    train, validation = (pd.read_parquet(folder / f"{n}.parquet") for n in ("train", "validation"))
    return Tables(
        train_x=train.drop(columns=[TARGET, TIME], errors="ignore"),
        train_y=train[TARGET],
        validation_x=validation.drop(columns=TARGET),
        validation_y=validation[TARGET],
        train_time=train.get(TIME),
    )


def _order_moments(tables: Tables) -> np.ndarray:
    """Number the moments of the training rows from the earliest on."""
    import numpy as np

    if tables.train_time is None:
        fix = "pass Tables(train_time=...), or leave 'by_time' out of search.cv"
        raise TableError("training", "no times", "the time of each row", fix)
    _check_moments("training", tables.train_time)
    found: np.ndarray = np.unique(tables.train_time.to_numpy(), return_inverse=True)[1]
    return found


def _check_moments(name: str, moments: pd.Series) -> None:
    """Refuse a missing time, which would count as the latest of all, or as early."""
    if missing := int(moments.isna().sum()):
        found = f"{missing} of {len(moments)} rows without a time"
        raise TableError(name, found, "the time of each row", "correct them, or leave them out")


def _rows_of(moment_of: np.ndarray, moments: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.flatnonzero(np.isin(moment_of, moments))


def _check_table(name: str, rows: pd.DataFrame, target: pd.Series) -> None:
    if len(rows) == 0:
        raise TableError(name, "no rows", "at least one row of each class", "choose other months")
    classes = sorted(set(target.unique().tolist()), key=str)
    if classes != [0, 1]:
        raise TableError(
            name,
            f"the target holds {classes[:5]}",
            "both 0 and 1, and nothing else",
            "choose months in which both classes occur",
        )
