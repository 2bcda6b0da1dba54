"""The gate ``infra``: does the model load where it says that it does, and answer as it did?"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from mlflow_ext.data.model_answer import EXPECTED, Answer, answer_example
from mlflow_ext.gates._artifact_scan import Artifact, is_dangerous, scan_artifacts
from mlflow_ext.gates._declared_environment import (
    build_environment,
    find_mismatches,
    find_uv,
    interpreter_of,
    read_environment,
)
from mlflow_ext.gates._fresh_process import ask_in_fresh_process
from mlflow_ext.gates.interface import Gate
from mlflow_ext.project import STRICT, Text
from mlflow_ext.records import Check, Severity, Verdict

if TYPE_CHECKING:
    from mlflow_ext.gates.candidate import Candidate

PickleRule = Literal["allowed", "warn", "refused"]
Seconds = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class InfraGate(Gate):
    """The files have to be safe, load in a fresh process, and answer as they did at training."""

    environment: Literal["current", "uv"] = "current"
    """*uv* builds the environment that the model declares, which may take minutes; *current* is
    this one, and there is no verdict where it is not what the model declares."""
    pickle: PickleRule = "warn"
    """Whether files may be pickles, which run code when they are loaded; skops does not."""
    trusted_imports: tuple[Text, ...] = ()
    """Names, ``module.name``, that files may import although they are dangerous."""
    tolerance: Annotated[float, Field(ge=0)] = 1e-9
    """How far numbers of the answer may lie from those at training."""
    max_seconds: Seconds = 120.0
    """The time to load the model in a fresh process and to ask it."""
    max_build_seconds: Seconds = 900.0
    """The time for each step of building the environment."""

    def judge(self, candidate: Candidate) -> Iterator[Check]:
        """As `Gate.judge`: the files, the environment, and what a fresh process says."""
        artifacts = scan_artifacts(candidate.files)
        yield judge_pickles(artifacts, self.pickle)
        imports = judge_imports(artifacts, self.trusted_imports)
        yield imports
        if imports.verdict is Verdict.FAILED:
            yield _open("loads", "without harm", "it was not loaded: see what it imports")
        elif self.environment == "uv":
            yield from self._judge_built(candidate)
        else:
            yield judge_environment(candidate.files)
            yield from self._judge_loaded(candidate, Path(sys.executable))

    def _judge_built(self, candidate: Candidate) -> Iterator[Check]:
        if find_uv() is None:
            yield _open("environment", "built by uv", "uv is not here: python -m pip install uv")
            return
        with TemporaryDirectory() as folder:
            problem = build_environment(candidate.files, Path(folder), self.max_build_seconds)
            yield _decide("environment", not problem, "can be built", problem)
            if not problem:
                yield from self._judge_loaded(candidate, interpreter_of(Path(folder)))

    def _judge_loaded(self, candidate: Candidate, python: Path) -> Iterator[Check]:
        outcome = ask_in_fresh_process(python, candidate.files, self.max_seconds)
        yield _decide("loads", not outcome.problem, "in a fresh process", outcome.problem)
        if outcome.problem:
            return
        if outcome.answer is None:
            fix = "there is none: log the model again with input_example=rows.head()"
            yield _open("answer", "to its own input example", fix)
            return
        logged = (candidate.metadata.metadata or {}).get(EXPECTED)
        known = logged or answer_example(candidate.model, str(candidate.files)) or {}
        whose = "as at training" if logged else "as in this process; training has logged none"
        yield judge_answer(known, outcome.answer, self.tolerance, whose)


def judge_pickles(artifacts: Sequence[Artifact], rule: PickleRule) -> Check:
    """Compare the files that are pickles with what is allowed."""
    found = [artifact.path for artifact in artifacts if artifact.format == "pickle"]
    is_good = not found or rule == "allowed"
    return Check(
        name="pickles",
        verdict=Verdict.PASSED if is_good else Verdict.FAILED,
        expected="any" if rule == "allowed" else "none",
        observed=list(found),
        severity=Severity.WARN if rule == "warn" else Severity.BLOCK,
        reason="" if is_good else "log it with serialization_format='skops'",
    )


def judge_imports(artifacts: Sequence[Artifact], trusted: Sequence[str] = ()) -> Check:
    """Look for what gives a file power over the machine that loads it.

    Args:
        artifacts: As scanned.
        trusted: Names that are fine nevertheless.

    Returns:
        *failed* with the names, by file; *inconclusive* when a file could not be read to its end.
    """
    dangerous = {
        artifact.path: [n for n in artifact.imports if is_dangerous(n) and n not in trusted]
        for artifact in artifacts
    }
    found = {path: names for path, names in dangerous.items() if names}
    unread = [f"{artifact.path}: {artifact.unread}" for artifact in artifacts if artifact.unread]
    verdict = Verdict.INCONCLUSIVE if unread else Verdict.PASSED
    return Check(
        name="imports",
        verdict=Verdict.FAILED if found else verdict,
        expected="nothing that runs commands, opens files or evaluates text",
        observed=dict(found),
        reason="; ".join(unread),
    )


def judge_environment(files: Path) -> Check:
    """Compare this environment with what the model declares: in another, nothing is shown."""
    declared = read_environment(files)
    if declared is None:
        return _open("environment", "what the model declares", "it declares none: requirements.txt")
    found = list(find_mismatches(declared))
    return Check(
        name="environment",
        verdict=Verdict.INCONCLUSIVE if found else Verdict.PASSED,
        expected="what the model declares",
        observed=list(found),
        reason="pip install -r requirements.txt, or ask for environment: uv" if found else "",
    )


def judge_answer(known: Answer, found: Answer, tolerance: float, whose: str) -> Check:
    """Compare what a model says about its own input example with what it is known to say.

    Args:
        known: Method -> what it returned before.
        found: Method -> what it returns now; methods that were not asked before do not count.
        tolerance: How far numbers may lie apart.
        whose: Where *known* comes from, in words.
    """
    differences = [
        f"{method}: {difference}"
        for method, values in known.items()
        if (difference := _differ(values, found.get(method), tolerance))
    ]
    return _decide("answer", not differences, whose, "; ".join(differences))


def _differ(known: object, found: object, tolerance: float) -> str:
    """Say in which way two nested lists differ; nothing when they do not."""
    mine, theirs = np.asarray(known), np.asarray(found)
    if mine.shape != theirs.shape:
        return f"shape {theirs.shape}, not {mine.shape}"
    if not all(np.issubdtype(values.dtype, np.number) for values in (mine, theirs)):
        count = int((mine != theirs).sum())
        return f"{count} of {mine.size} values are others" if count else ""
    if np.allclose(theirs, mine, rtol=0, atol=tolerance, equal_nan=True):
        return ""
    return f"up to {np.nanmax(np.abs(theirs - mine)):.3g} away"


def _decide(name: str, is_good: bool, expected: str, reason: str) -> Check:
    verdict = Verdict.PASSED if is_good else Verdict.FAILED
    return Check(name=name, verdict=verdict, expected=expected, observed=is_good, reason=reason)


def _open(name: str, expected: str, reason: str) -> Check:
    return Check(name=name, verdict=Verdict.INCONCLUSIVE, expected=expected, reason=reason)
