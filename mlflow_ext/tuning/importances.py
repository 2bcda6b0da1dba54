"""Which parameters mattered: for the value altogether, and for being among the best.

fANOVA asks how much of the variance of all values a parameter explains, bad regions included;
PED-ANOVA how unlike the others the best tenth of the trials is in it. A parameter that only ruins
bad trials is high in the one and low in the other.

Source: Hutter, Hoos & Leyton-Brown (2014), ICML, 754-762 (fANOVA); Watanabe, Bansal & Hutter
(2023), IJCAI, 4389-4396 (PED-ANOVA).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from mlflow_ext.tuning.journal import quiet_optuna
from mlflow_ext.tuning.leaderboard import is_maximized, usable_trials

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

# The time fANOVA takes grows with the square of the trials: 200 take a second, 3,000 minutes.
MOST_TRIALS = {"fANOVA": 200, "PED-ANOVA": 2_000}
METHODS = tuple(MOST_TRIALS)
TREES = 32
UNDECIDED = (ValueError, RuntimeError)  # how Optuna says that trials do not allow something


def measure_importances(study: optuna.Study, method: str, objective: int = 0) -> dict[str, float]:
    """Compute the share of each parameter in an objective, largest first.

    Args:
        study: A study with any number of finished trials. Of more than `MOST_TRIALS`, so many are
            looked at, spread evenly from the best to the worst.
        method: ``fANOVA`` or ``PED-ANOVA``.
        objective: Position of the objective.

    Returns:
        Parameter -> its share, adding up to 1.

    Raises:
        ValueError: The trials do not say, and why: there are fewer than two with different values,
            or no parameter tells the best ones from the others.
    """
    sample = thin(study, MOST_TRIALS[method])
    trials = sample.get_trials(deepcopy=False)
    if len({trial.values[objective] for trial in trials}) < 2:
        # Optuna would draw made-up equal shares.
        raise ValueError("importances need two completed trials with different values")
    sign = -1 if is_maximized(study)[objective] else 1  # PED-ANOVA takes the smallest for the best

    def value(trial: FrozenTrial) -> float:
        return float(sign * trial.values[objective])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that equal shares would follow
        found = _evaluator(method).evaluate(sample, target=value)
    total = sum(found.values())
    if not total > 0:
        raise ValueError("no parameter tells better trials from worse ones")
    return {name: float(share / total) for name, share in found.items()}


def explain_importances(
    study: optuna.Study, method: str, objective: int = 0
) -> dict[str, float] | str:
    """Return what `measure_importances` returns, or why it cannot."""
    try:
        with quiet_optuna():
            return measure_importances(study, method, objective)
    except UNDECIDED as error:
        return str(error)


def thin(study: optuna.Study, most: int) -> optuna.Study:
    """Copy the usable trials of *study*, or *most* of them from the best to the worst, in memory.

    The copies are numbered anew, best first.
    """
    import optuna

    usable = usable_trials(study)
    step = max(1, len(usable) / most)
    kept = [usable[int(place * step)] for place in range(min(most, len(usable)))]
    copy = optuna.create_study(study_name=study.study_name, directions=study.directions)
    copy.add_trials(kept)
    return copy


def _evaluator(method: str) -> Any:
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

    if method == "fANOVA":
        return FanovaImportanceEvaluator(n_trees=TREES, seed=0)
    return PedAnovaImportanceEvaluator()
