"""Names under which the suite keeps its own facts in a study, in a trial and in a child run."""

from __future__ import annotations

OWN = "mlflow_ext."

# In the study.
STUDY_ID = OWN + "study_id"
"""Identity of the study; a tag of its child runs too, because two studies may share a name."""
DEFINITION = OWN + "definition"
"""The search the study was begun with."""
FIRST = OWN + "first"
"""Points that were known to be good when the study began, before those of the search."""
ROWS = OWN + "rows"
"""Fingerprints of the rows the study was begun on."""
ALIVE = OWN + "alive."
"""Before the name of a process: when it last wrote of itself, in seconds since the epoch."""
RUN = OWN + "run"
"""Id of the MLflow run under which the study last went on."""
SESSION = OWN + "session."
"""Before the id of such a run: who worked under it, and what became of that; see `sessions`."""
BUDGET = OWN + "budget"
"""How many trials, and in how much time, were last asked for."""
RESCORED = OWN + "rescored"
"""After how many trials the best were chosen, and what fresh rows said of them."""

# Where machines share a study through a proxy, which keeps no lock.
TICKETS = OWN + "tickets of "
"""Before the name of a study: the study whose trials are the tickets of its lock."""

# In a trial; tags of its child run too.
OWNER = OWN + "owner"
"""The process that runs the trial, as `mlflow_ext.process.current_process` names it."""
RETRY_OF = OWN + "retry_of"
"""Number of the trial whose process stopped before it ended, and which this trial repeats."""
ATTEMPT = OWN + "attempt"
"""1 more than the number of processes that died while they ran these parameters."""
ERROR = OWN + "error"
"""What the objective raised."""
EXCESS = OWN + "excess"
"""By how much the trial misses each constraint of the search; 0 or less where it is kept."""
BOUNDED = OWN + "bounded"
"""Metric that a constraint of the search bounds -> its value."""
REPORTED_MS = OWN + "reported_ms"
"""When each intermediate value was reported, in milliseconds since the epoch."""

# Only in a child run.
STUDY = OWN + "study"
TRIAL = OWN + "trial"
STATE = OWN + "state"
REASON = OWN + "reason"
"""Why the trial did not complete."""
NON_FINITE = OWN + "non_finite"
"""Values that a chart cannot show: infinite or not a number."""
