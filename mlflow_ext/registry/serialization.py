"""How a scikit-learn model becomes a file: skops where it can, cloudpickle where it must.

MLflow writes skops by default and refuses most estimators unless it is given the list of types that
the file may create. The list is derived from the model at hand, which was trained here, and is
stored with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SKOPS = "skops"
CLOUDPICKLE = "cloudpickle"


@dataclass(frozen=True, kw_only=True)
class Serialization:
    """The format of a model file."""

    format: str
    """``skops`` or ``cloudpickle``."""
    trusted_types: tuple[str, ...] = ()
    """Types beyond its own list that skops may create on loading, sorted."""


def choose_serialization(model: Any, example: pd.DataFrame) -> Serialization:
    """Find the safest format from which *model* comes back unchanged.

    Args:
        model: A fitted scikit-learn estimator.
        example: Rows on which the model and its copy must answer alike, bit for bit.

    Returns:
        skops with the types to trust; cloudpickle when skops cannot write or read the model, when
        the copy answers otherwise, or when a type lives in ``__main__`` and exists nowhere else.
    """
    import numpy as np
    import skops.io

    try:
        data = skops.io.dumps(model)
        trusted = tuple(sorted(skops.io.get_untrusted_types(data=data)))
        copy = skops.io.loads(data, trusted=list(trusted))
        is_same = np.array_equal(_answer(copy, example), _answer(model, example))
    except Exception:  # whatever the types inside the model raise
        return Serialization(format=CLOUDPICKLE)
    if is_same and not any(name.startswith("__main__.") for name in trusted):
        return Serialization(format=SKOPS, trusted_types=trusted)
    return Serialization(format=CLOUDPICKLE)


def _answer(model: Any, example: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Ask for probabilities where there are some: labels hide small differences."""
    ask = getattr(model, "predict_proba", model.predict)
    answer: np.ndarray[Any, Any] = ask(example)
    return answer
