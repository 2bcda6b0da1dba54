"""Everything the suite raises on purpose: one base, one class per way of failing.

A message has three parts: what was *found*, what was *expected*, and the command or edit that
*mends* it. Classes build the parts from their fields, so callers never compose prose. No class
knows an exit code or an HTTP status: that is the caller's business.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path


class MlflowExtError(Exception):
    """No verdict could be reached, or an input cannot be used.

    Args:
        found: What is there, with file, line or value.
        expected: What should be there instead.
        fix: The command or edit that mends it.
    """

    def __init__(self, found: str, expected: str, fix: str) -> None:
        super().__init__(f"{found}\n  expected: {expected}\n  fix:      {fix}")
        self.found = found
        self.expected = expected
        self.fix = fix


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return the entry of *known* that *word* most likely means, or None.

    >>> nearest("treshold", ["threshold", "metric"])
    'threshold'
    """
    matches = get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def one_of(known: Collection[str]) -> str:
    """Say 'one of a, b' in a stable order, or 'nothing' for an empty collection."""
    return "one of " + ", ".join(sorted(known)) if known else "nothing (none exist)"


class UnknownNameError(MlflowExtError):
    """A name (gate, metric, suite, step, column, month …) is not among the known ones.

    *listed_by* is the command that lists them where they are too many to be said.
    """

    def __init__(
        self, kind: str, name: str, known: Collection[str], where: str = "", listed_by: str = ""
    ) -> None:
        guess = nearest(name, known)
        place = f" in {where}" if where else ""
        fix = f"write '{guess}' instead of '{name}'" if guess else f"use a known {kind}"
        expected = f"a {kind} that is listed" if listed_by else one_of(known)
        super().__init__(f"unknown {kind} '{name}'{place}", expected, listed_by or fix)
        self.kind = kind
        self.name = name
        self.known = tuple(sorted(known))


class ProjectFileError(MlflowExtError):
    """project.yaml cannot be used: an unknown or missing key, a wrong type, a contradiction."""

    def __init__(self, file: Path, line: int, found: str, expected: str, fix: str = "") -> None:
        super().__init__(f"{file}:{line}: {found}", expected, fix or f"edit {file} at line {line}")
        self.file = file
        self.line = line


class WindowError(MlflowExtError):
    """A window of months is malformed, or too short for the split that is asked for."""


class SourceError(MlflowExtError):
    """A source of data is missing, truncated, empty or of another shape than declared."""

    def __init__(self, source: str, found: str, expected: str, fix: str) -> None:
        super().__init__(f"source '{source}': {found}", expected, fix)
        self.source = source


class TableError(MlflowExtError):
    """A table cannot be used for the step at hand: empty, all null, one class, missing column."""

    def __init__(self, table: str, found: str, expected: str, fix: str) -> None:
        super().__init__(f"table '{table}': {found}", expected, fix)
        self.table = table


class FingerprintMismatchError(MlflowExtError):
    """Stored rows are not the rows that were fingerprinted."""

    def __init__(self, path: str, recorded: str, actual: str) -> None:
        super().__init__(
            f"{path}: the content has fingerprint {actual}",
            f"{recorded}, as recorded when it was written",
            "run again with -P reuse=false",
        )


class SuiteError(MlflowExtError):
    """A suite of expectations cannot be read or does not fit the table."""

    def __init__(self, suite: str, found: str, expected: str, fix: str) -> None:
        super().__init__(f"suite '{suite}': {found}", expected, fix)
        self.suite = suite


class EngineError(MlflowExtError):
    """A suite cannot be run by an engine: it reads other tables, or needs what is not installed."""

    def __init__(self, engine: str, found: str, expected: str, fix: str) -> None:
        super().__init__(f"engine '{engine}': {found}", expected, fix)
        self.engine = engine


class GateConfigError(MlflowExtError):
    """A gate is set up with an option that it has not, or a value that it cannot take."""

    def __init__(self, gate: str, found: str, expected: str, fix: str = "") -> None:
        super().__init__(
            f"gate '{gate}': {found}", expected, fix or f"correct the options of gate '{gate}'"
        )
        self.gate = gate


class EvaluatorConfigError(MlflowExtError):
    """MLflow's evaluation is configured with a key that our evaluator has not, or a wrong value."""

    def __init__(self, found: str, expected: str, fix: str = "") -> None:
        where = "evaluator_config={'mlflow_ext': {...}}"
        super().__init__(f"evaluator 'mlflow_ext': {found}", expected, fix or f"correct {where}")


class DirectionError(MlflowExtError):
    """A metric is asked to go the wrong way: a loss maximized, a score minimized."""

    def __init__(self, metric: str, stated: str, actual: str) -> None:
        super().__init__(
            f"metric '{metric}' with direction '{stated}'",
            f"direction '{actual}'",
            f"write 'direction: {actual}' beside '{metric}' in project.yaml",
        )


class SearchError(MlflowExtError):
    """A search space, estimator or study cannot be used."""


class BulkError(MlflowExtError):
    """One of many runs cannot be written, so that none of them was."""

    def __init__(self, index: int | None, found: str, expected: str = "") -> None:
        subject = "" if index is None else f"run {index} of the call: "
        super().__init__(
            f"{subject}{found}",
            expected or "a run that MLflow takes; none of the others was written",
            "correct it, and send all of them again",
        )
        self.index = index


class NoTrialCompletedError(SearchError):
    """A search was carried out and found nothing that can be used."""

    def __init__(self, study: str, counts: Mapping[str, int], causes: Sequence[str]) -> None:
        said = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        first = f"; the first exception: {causes[0]}" if causes else ""
        commonest = max(causes, key=causes.count, default="")
        times = causes.count(commonest)
        common = f"; the most common one ({times} times): {commonest}" if len(causes) > 1 else ""
        super().__init__(
            f"no trial of study '{study}' completed with a finite value that keeps the "
            f"constraints: {said or 'none ran'}{first}{common}",
            "at least one such trial",
            "mend the cause, then choose another study name: finished trials are not repeated",
        )


class StoreUnreachableError(MlflowExtError):
    """A tracking server, registry or artifact store does not answer or refuses to write."""

    def __init__(self, what: str, uri: str, cause: str, fix: str) -> None:
        super().__init__(f"{what} at {uri}: {cause}", f"a reachable, writable {what}", fix)
        self.uri = uri


class NoActiveRunError(MlflowExtError):
    """There is no MLflow run that could hold what is logged."""

    def __init__(self) -> None:
        fix = "call it inside `with mlflow.start_run():`"
        super().__init__("no MLflow run is active", "a run that what is logged belongs to", fix)


class ModelNotFoundError(MlflowExtError):
    """A registered model or version does not exist."""

    def __init__(self, model: str, version: str | None, known: Collection[str]) -> None:
        subject = f"version {version} of model '{model}'" if version else f"model '{model}'"
        super().__init__(
            f"{subject} is not in the registry",
            one_of(known),
            f"mlflow-ext status {model}" if version else "mlflow-ext doctor",
        )


class RegistryStateError(MlflowExtError):
    """The registry is in a state in which the request makes no sense, e.g. nothing to undo."""


class WebhookError(MlflowExtError):
    """A webhook cannot be used: its address is not allowed, or its secret cannot be kept."""


class LedgerError(MlflowExtError):
    """The ledger cannot be relied on: a line was edited, or a table is of another version."""


class RefusedError(MlflowExtError):
    """The registry refuses a request, whoever asks."""


class PolicyError(MlflowExtError):
    """A promotion policy cannot be used: an unknown key, a wrong value, a contradiction."""


class KeyFileError(MlflowExtError):
    """A signing key cannot be used: unreadable, of another kind, or open to others."""

    def __init__(self, file: Path, found: str, fix: str = "") -> None:
        super().__init__(
            f"{file}: {found}",
            "an Ed25519 private key (PEM) that only its owner can read",
            fix or f"restore it, or move it away and let a new one be made: mv {file} {file}.old",
        )
        self.file = file


class SignatureError(MlflowExtError):
    """An envelope holds no signature that can be relied on, or a public key is none."""

    def __init__(self, found: str) -> None:
        super().__init__(
            found,
            "a DSSE envelope with one Ed25519 signature that holds",
            "judge and sign again: mlflow-ext gate run MODEL VERSION",
        )


class StatementError(MlflowExtError):
    """What was signed is no gate report about a version of a model."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found, expected, "judge and sign again: mlflow-ext gate run MODEL VERSION")


class FilesChangedError(MlflowExtError):
    """The files of a model are not those that were judged."""

    def __init__(self, uri: str, expected: str, actual: str) -> None:
        super().__init__(
            f"the files of {uri} have digest {actual}",
            f"{expected or 'a known digest'}, that of the files that were judged",
            "restore the files, or register them as a new version and judge that one",
        )


class UnusableModelError(MlflowExtError):
    """The files of a model cannot be loaded, or do not answer as a gate needs."""

    def __init__(self, uri: str, found: str, expected: str, fix: str) -> None:
        super().__init__(f"{uri}: {found}", expected, fix)
        self.uri = uri


class RequestError(MlflowExtError):
    """A request to a gated registry does not fit what is asked."""

    def __init__(self, operation: str, where: str, problem: str) -> None:
        super().__init__(
            f"operation '{operation}': {where}: {problem}",
            "the fields that the operation takes",
            "mlflow-ext --help",
        )


class ServerOptionError(MlflowExtError):
    """A server cannot be started as it was asked for."""


class UngatedError(MlflowExtError):
    """A server that can enforce policies was started on a plain registry."""

    def __init__(self) -> None:
        super().__init__(
            "the registry of this server is plain MLflow, which enforces nothing",
            "a registry address that begins with 'gated+'",
            "start it by: mlflow-ext server --backend-store-uri URI",
        )
