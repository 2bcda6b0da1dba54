"""Whether a column of a frame may stand where a signature asks for a type."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.types import ColSpec, TensorSpec

WHOLE = ("integer",)
NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")
EMPTY = "empty"
# A type of MLflow -> kinds of values that pandas tells apart and that a model gets as that type.
# Whole numbers count as doubles: they are converted before the model is asked.
KINDS = {
    "boolean": ("boolean",),
    "integer": WHOLE,
    "long": WHOLE,
    "float": NUMBERS,
    "double": NUMBERS,
    "string": ("string",),
    "binary": ("bytes",),
    "datetime": ("datetime64", "datetime", "date"),
}


def kind_of(column: pd.Series) -> str:
    """Say what kind of values a column holds, in the words of pandas; missing ones do not count.

    >>> import pandas as pd
    >>> kind_of(pd.Series([1, 2])), kind_of(pd.Series(["a", None], dtype="category"))
    ('integer', 'string')
    """
    import pandas as pd

    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    return EMPTY if column.isna().all() else pd.api.types.infer_dtype(values, skipna=True)


def declared_type(spec: ColSpec | TensorSpec) -> str:
    """Name the type that a signature asks for, e.g. ``double`` or ``float64``."""
    return str(getattr(spec.type, "name", spec.type))


def fits(kind: str, spec: ColSpec | TensorSpec) -> bool:
    """Tell whether values of a kind may stand where *spec* asks for its type.

    Nested types and tensors are left to MLflow: what it is given there is no plain column.
    """
    accepted = KINDS.get(declared_type(spec))
    return accepted is None or kind in (EMPTY, *accepted)
