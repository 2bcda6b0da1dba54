"""The child runs that are in MLflow, and what has to be done about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mlflow_ext.tuning.attributes import STUDY_ID, TRIAL
from mlflow_ext.tuning.mirror.content import content_of
from mlflow_ext.tuning.mirror.place import PARENT, StudyRun

if TYPE_CHECKING:
    from mlflow.entities import Run
    from optuna.trial import FrozenTrial

    from mlflow_ext.tracking.runs import RunContent

RUNS_PER_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Child:
    """A run that shows a trial."""

    run_id: str
    status: str
    parent: str | None


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What brings the child runs of some trials to one each."""

    right: list[int] = field(default_factory=list)
    """Numbers of the trials whose child runs need nothing."""
    runs: list[RunContent] = field(default_factory=list)
    """To write: made anew, ended, or moved under another parent."""
    there: dict[str, str] = field(default_factory=dict)
    """Run id -> status of those that exist."""
    doubles: list[str] = field(default_factory=list)
    """Run ids to delete."""

    def __len__(self) -> int:
        return len(self.runs) + len(self.doubles)


def list_children(place: StudyRun, since_ms: int = 0) -> Mapping[int, list[Child]]:
    """Return trial number -> its child runs in the experiment, under whatever parent.

    Args:
        place: Where they are.
        since_ms: Leave out trials that began before, in milliseconds since the epoch.
    """
    found: dict[int, list[Child]] = defaultdict(list)
    query = f"tags.`{STUDY_ID}` = '{place.study_id}' AND attributes.start_time >= {since_ms}"
    for run in _search(place, query):
        tags, info = run.data.tags, run.info
        if TRIAL in tags:
            child = Child(run_id=info.run_id, status=info.status, parent=tags.get(PARENT))
            found[int(tags[TRIAL])].append(child)
    return found


def plan_repair(
    place: StudyRun, trials: Sequence[FrozenTrial], children: Mapping[int, list[Child]]
) -> Repair:
    """Find out what is missing, unfinished, elsewhere or doubled.

    Of doubles, everybody keeps the same one: the one with the identity of the trial, else the one
    that has ended and has the smallest id.
    """
    repair = Repair()
    for trial in trials:
        own = place.child_id(trial.number)
        found = sorted(
            children.get(trial.number, []),
            key=lambda c: (c.run_id != own, c.status == "RUNNING", c.run_id),
        )
        repair.doubles.extend(child.run_id for child in found[1:])
        kept = found[0] if found else None
        if kept is None:
            repair.runs.append(content_of(place, trial))
        elif kept.status == "RUNNING" or kept.parent != place.parent_run_id:
            repair.runs.append(replace(content_of(place, trial), run_id=kept.run_id))
            repair.there[kept.run_id] = kept.status
        else:
            repair.right.append(trial.number)
    return repair


def _search(place: StudyRun, query: str) -> Iterator[Run]:
    token: str | None = ""
    while token is not None:
        page = place.client.search_runs(
            [place.experiment_id], query, max_results=RUNS_PER_PAGE, page_token=token or None
        )
        yield from page
        token = page.token or None
