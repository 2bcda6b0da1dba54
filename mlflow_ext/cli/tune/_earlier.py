"""With which parameters a project has run a search before."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

ENTRY_POINT = "tune"
ENTRY_POINT_TAG, PARENT_TAG = "mlflow.project.entryPoint", "mlflow.parentRunId"


def earlier_parameters(place: str, name: str) -> dict[str, str]:
    """Return what the project here has to be told so that a study goes on as it was.

    Args:
        place: A folder of journals, or the URL of a database.
        name: Name of the study.

    Returns:
        Parameter of the project's entry point -> value: that of the run under which the study last
        went on, while it is there; the study itself knows its budget, sampler and pruner.

    Raises:
        mlflow.exceptions.MlflowException: The tracking store does not answer.
    """
    from mlflow.projects._project_spec import load_project

    from mlflow_ext.tuning.attributes import BUDGET, RUN
    from mlflow_ext.tuning.catalog import find_study
    from mlflow_ext.tuning.journal import read_search

    study = find_study(place, name)
    search = read_search(study)
    begun = {"sampler": search.sampler, "pruner": search.pruner} if search else {}
    told = _parameters_of_run(study.user_attrs.get(RUN))
    project = load_project(".")  # type: ignore[no-untyped-call]
    known = project.get_entry_point(ENTRY_POINT).parameters
    found = {**told, **study.user_attrs.get(BUDGET, {}), **begun}
    return {name: str(value) for name, value in found.items() if name in known and value}


def _parameters_of_run(run_id: str | None) -> Mapping[str, str]:
    """Return the parameters of a project's run, of which the given one may be a step."""
    import mlflow
    from mlflow.exceptions import MlflowException

    from mlflow_ext.registry.connection import is_missing

    client = mlflow.MlflowClient()
    try:
        while run_id:
            data = client.get_run(run_id).data
            if ENTRY_POINT_TAG in data.tags:
                # As MLflow hands them to a shell.
                return {name: "".join(shlex.split(text)) for name, text in data.params.items()}
            run_id = data.tags.get(PARENT_TAG)
    except MlflowException as error:
        if not is_missing(error):
            raise
    return {}
