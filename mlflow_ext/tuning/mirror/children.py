"""The child runs that are in MLflow, and what has to be done about them."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING

from mlflow_ext.project.search import TRIAL_NUMBER
from mlflow_ext.tracking.runs import shown_values
from mlflow_ext.tuning.attributes import STUDY_ID, TRIAL
from mlflow_ext.tuning.mirror.content import NAME_PREFIX, begin_ms, content_of
from mlflow_ext.tuning.mirror.place import StudyRun

if TYPE_CHECKING:
    from mlflow.entities import Run
    from optuna.trial import FrozenTrial

    from mlflow_ext.tracking.runs import RunContent

RUNS_PER_PAGE = 1000
BEGUN = ("RUNNING", "SCHEDULED")
NUMBER = re.compile(r"\d{1,9}")


@dataclass(frozen=True, kw_only=True)
class Child:
    """A run that shows a trial."""

    run_id: str
    has_ended: bool
    """Ever: a user may have opened it again since."""
    lacks: RunContent | None
    """What it does not say yet; None: nothing."""
    is_to_end: bool
    """Whether its end is not what the study says, and no user works in it."""


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What brings the child runs of some trials to one each."""

    right: list[int] = field(default_factory=list)
    """Numbers of the trials whose child runs need nothing."""
    runs: list[RunContent] = field(default_factory=list)
    """To write: whole, or what those that exist do not say yet."""
    there: dict[str, bool] = field(default_factory=dict)
    """Run id -> whether to end it, of those that exist."""
    doubles: list[str] = field(default_factory=list)
    """Run ids to delete."""

    def __len__(self) -> int:
        return len(self.runs) + len(self.doubles)


def list_children(
    place: StudyRun, trials: Sequence[FrozenTrial], since_ms: int = 0
) -> Mapping[int, list[Child]]:
    """Return trial number -> its child runs in the experiment, under whatever parent.

    Args:
        place: Where they are.
        trials: Finished ones; the children of others are left out.
        since_ms: Leave out trials that began before, in milliseconds since the epoch.
    """
    found: dict[int, list[Child]] = defaultdict(list)
    query = f"tags.`{STUDY_ID}` = '{place.study_id}' AND attributes.start_time >= {since_ms}"
    numbered = {trial.number: trial for trial in trials}
    for run in _search(place, query):
        trial = numbered.get(_number_of(place, run, numbered))
        if trial is not None:
            found[trial.number].append(_compare(run, content_of(place, trial)))
    return found


def plan_repair(
    place: StudyRun, trials: Sequence[FrozenTrial], children: Mapping[int, list[Child]]
) -> Repair:
    """Find out what is missing, unfinished, elsewhere, changed or doubled.

    Of doubles, everybody keeps the same one: the one with the identity of the trial, else the one
    that has ended and has the smallest id.
    """
    repair = Repair()
    for trial in trials:
        own = place.child_id(trial.number)
        found = sorted(
            children.get(trial.number, []),
            key=lambda c: (c.run_id != own, not c.has_ended, c.run_id),
        )
        repair.doubles.extend(child.run_id for child in found[1:])
        kept = found[0] if found else None
        if kept is None:
            repair.runs.append(content_of(place, trial))
        elif kept.lacks:
            repair.runs.append(kept.lacks)
            repair.there[kept.run_id] = kept.is_to_end
        else:
            repair.right.append(trial.number)
    return repair


def _number_of(place: StudyRun, run: Run, trials: Mapping[int, FrozenTrial]) -> int:
    """Return the number of the trial that *run* shows, or -1.

    Its identity tells it where we chose it. Elsewhere two must agree, for users may change a tag or
    a name, and copy a tag to a run of theirs: tag, name, metric, and the moment it began.
    """
    if (number := place.number_of(run.info.run_id)) is not None:
        return number
    named = (run.info.run_name or "").removeprefix(NAME_PREFIX)
    logged = f"{run.data.metrics.get(TRIAL_NUMBER, math.nan):.0f}"
    texts = (run.data.tags.get(TRIAL, ""), named, logged)
    said = Counter(int(text) for text in texts if NUMBER.fullmatch(text))
    began = (n for n in said if n in trials and begin_ms(trials[n]) == run.info.start_time)
    said.update([*began])
    number, votes = max(said.items(), key=itemgetter(1), default=(-1, 0))
    return number if votes > 1 else -1


def _compare(run: Run, content: RunContent) -> Child:
    """Find out what *run* lacks of *content*; what others have added to it is no difference."""
    info, data = run.info, run.data
    shown = shown_values(content.metrics)
    wrong = {key for key, value in shown.items() if data.metrics.get(key) != value}
    lacks = replace(
        content,
        run_id=info.run_id,
        # A database keeps local times: another machine names other moments, but no other length.
        end_ms=info.start_time + content.end_ms - content.start_ms,
        params={key: text for key, text in content.params.items() if key not in data.params},
        metrics=[point for point in content.metrics if point.key in wrong],
        tags={key: text for key, text in content.tags.items() if data.tags.get(key) != text},
    )
    has_ended = info.end_time is not None  # MLflow keeps it in a run that is opened again
    is_open = info.status in BEGUN and has_ended
    is_to_end = not is_open and (info.status, info.end_time) != (lacks.status, lacks.end_ms)
    is_right = not (is_to_end or lacks.params or lacks.metrics or lacks.tags)
    return Child(
        run_id=info.run_id,
        has_ended=has_ended,
        lacks=None if is_right else lacks,
        is_to_end=is_to_end,
    )


def _search(place: StudyRun, query: str) -> Iterator[Run]:
    """Find runs, each once: what others write meanwhile moves those that follow to later pages."""
    token: str | None = ""
    seen: set[str] = set()
    while token is not None:
        page = place.client.search_runs(
            [place.experiment_id], query, max_results=RUNS_PER_PAGE, page_token=token or None
        )
        for run in page:
            if run.info.run_id not in seen:
                seen.add(run.info.run_id)
                yield run
        token = page.token or None
