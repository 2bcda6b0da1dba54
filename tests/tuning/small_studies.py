"""Studies in memory, made of given values, for whatever only looks at studies."""

import optuna

from mlflow_ext.tuning.attributes import DEFINITION, ERROR

NAME = "bob's study"


def study_of(*values, params=2, name=NAME, direction="minimize"):
    """A study whose trials have these *values*: None fails, "pruned" is pruned, a tuple is many."""
    several = next((len(value) for value in values if isinstance(value, tuple)), 1)
    study = optuna.create_study(
        study_name=name,
        directions=[direction] * several,
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    for value in values:
        trial = study.ask()
        for number in range(params):
            trial.suggest_float(f"p{number}", 0, 1)
        tell(study, trial, value)
    return study


def tell(study, trial, value):
    if value is None:
        trial.set_user_attr(ERROR, "ValueError: it <broke>")
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    elif value == "pruned":
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, value)


def define(study, *metrics):
    """Say what the values of *study* are called."""
    first, *others = metrics
    aims = [{"metric": metric, "direction": "minimize"} for metric in others]
    study.set_user_attr(DEFINITION, {"metric": first, "objectives": aims})
    return study
