"""Runs to write, and what a database holds of them."""

import math
import uuid

from mlflow_ext.tracking.runs import MetricPoint, RunContent

METRICS = (
    MetricPoint("loss", 0.5, 1_700_000_000_500, 0),
    MetricPoint("loss", 0.25, 1_700_000_000_400, 2),
    MetricPoint("loss", 0.75, 1_700_000_000_900, 1),
    MetricPoint("loss", 0.75, 1_700_000_000_900, 1),
    MetricPoint("tie", 1.0, 7, 0),
    MetricPoint("tie", 2.0, 7, 0),
    MetricPoint("huge", math.inf, 8, 0),
    MetricPoint("none", math.nan, 9, 3),
)


def make_run(number=0, **changes):
    """One finished run with some of everything."""
    content = {
        "run_id": uuid.uuid5(uuid.NAMESPACE_OID, str(number)).hex,
        "name": f"run-{number}",
        "status": ("FINISHED", "FAILED", "KILLED")[number % 3],
        "start_ms": 1_700_000_000_000 + number,
        "end_ms": 1_700_000_009_000 + number,
        "params": {"depth": str(number), "a/b c": "é" * 10},
        "metrics": METRICS,
        "tags": {"mlflow.user": "ann", "note": "it's [ok] 日本"},
    }
    return RunContent(**(content | changes))


def dump(store, experiment_id):
    """All rows about the runs of an experiment, with their names instead of their identities."""
    from mlflow.store.tracking.dbmodels import models
    from sqlalchemy import select

    with store.ManagedSessionMaker() as session:
        runs = models.SqlRun.__table__
        mine = select(runs).where(runs.c.experiment_id == int(experiment_id))
        heads = [dict(row._mapping) for row in session.execute(mine)]
        names = {head["run_uuid"]: head["name"] for head in heads}
        found = {"runs": sorted(repr(_anonymous(head)) for head in heads)}
        for model in (models.SqlParam, models.SqlMetric, models.SqlLatestMetric, models.SqlTag):
            table = model.__table__
            rows = session.execute(select(table).where(table.c.run_uuid.in_(names)))
            found[table.name] = sorted(
                repr({**row._mapping, "run_uuid": names[row.run_uuid]}) for row in rows
            )
    return found


def _anonymous(head):
    place = f"/{head.pop('experiment_id')}/{head.pop('run_uuid')}/"
    return head | {"artifact_uri": head["artifact_uri"].replace(place, "/EXPERIMENT/RUN/")}
