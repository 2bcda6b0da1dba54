"""An error budget over repeated attempts: retrying until lucky does not work."""

from __future__ import annotations

BUDGET = 0.05


def spend(attempt: int, budget: float = BUDGET) -> float:
    """Return the significance level at which one of arbitrarily many attempts is tested.

    The levels are budget / (k (k + 1)) for k = 1, 2, 3 …: their sum over the first k attempts is
    budget * k / (k + 1), so that it never reaches the budget, however many follow, and by the union
    bound neither does the chance that a challenger which is no better gets through in *any* of
    them. Nothing is assumed about how attempts depend on each other. They fall as slowly as levels
    can that have a sum in closed form: the 20th retry still has 1/420 of the budget, where halving
    the level each time would leave a millionth.

    Args:
        attempt: 1 for the first since the holdout was last refreshed.
        budget: In (0, 1): the chance of ever letting one through that should not be.

    Returns:
        The level of this attempt.

    Raises:
        ValueError: *attempt* is less than 1.

    Source: Lan & DeMets (1983), Biometrika 70:659-663 (spending an error); Foster & Stine (2008),
    Journal of the Royal Statistical Society B 70:429-444 (over an endless sequence of tests); the
    union bound is Bonferroni's.

    >>> [round(spend(attempt), 4) for attempt in (1, 2, 20)]
    [0.025, 0.0083, 0.0001]
    """
    if attempt < 1:
        raise ValueError(f"attempt {attempt}: attempts are counted from 1")
    return budget / (attempt * (attempt + 1))


def spent(attempts: int, budget: float = BUDGET) -> float:
    """Return how much of the budget the first *attempts* have used: the sum of their levels.

    >>> round(spent(19), 4), round(spend(1) + spend(2), 6) == round(spent(2), 6)
    (0.0475, True)
    """
    return budget * attempts / (attempts + 1)
