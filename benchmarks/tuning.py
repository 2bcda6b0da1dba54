"""Tuning with every trial in MLflow, beside Optuna alone and the ways that MLflow and Optuna offer.

Peers: Optuna's own loop on its `JournalStorage` with nothing logged; `mlflow.optuna.MlflowStorage`;
and `optuna_integration.MLflowCallback` as its documentation uses it. Stores: a database that this
process opens, our server, and a plain MLflow server. Ours counts until the last trial is visible,
and it is counted there.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import statistics
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from figures import Figure, report

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # real servers are started there

from databases import run_postgres  # noqa: E402
from servers import free_port, serve, serve_gated  # noqa: E402

from mlflow_ext.project import FloatRange, Search  # noqa: E402
from mlflow_ext.tuning.desk import Desk  # noqa: E402
from mlflow_ext.tuning.journal import begin_study, open_store, open_study, quiet_optuna  # noqa: E402
from mlflow_ext.tuning.mirror import following, open_study_run  # noqa: E402
from mlflow_ext.tuning.study import run_trials  # noqa: E402

NAMES = ("a", "b", "c", "d", "e")
SEARCH = Search(
    estimator="sklearn.linear_model.LogisticRegression",
    space={name: FloatRange(type="float", low=-1.0, high=1.0) for name in NAMES},
    metric="roc_auc",
    direction="minimize",
    sampler="random",
    pruner="none",
)
WORK_S = 0.02
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "OMP_NUM_THREADS": "1",
}
QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
WORKERS = ("--workers", "4")  # as `mlflow server` has by default


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured."""

    trials: int
    workers: tuple[int, ...]
    callback_trials: int
    """Of the peer that costs as much for the last trial as for the first."""
    storage_trials: tuple[int, int]
    """Of the peer that gets slower with each trial, on a database and over HTTP: few flatter it."""
    growth_trials: int
    runs: int


FULL = Size(
    trials=300,
    workers=(1, 2, 4),
    callback_trials=300,
    storage_trials=(100, 30),
    growth_trials=5000,
    runs=3,
)
QUICK = Size(
    trials=30, workers=(1, 2), callback_trials=5, storage_trials=(3, 3), growth_trials=300, runs=1
)


@dataclass(frozen=True, kw_only=True)
class Store:
    """A place for runs."""

    name: str
    uri: str
    is_bulk: bool
    """Whether it takes many runs at once."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A study that was run."""

    seconds: float
    trials: list[Any]


def measure(quick: bool) -> list[Figure]:
    """Take all figures; quick means fewer trials and SQLite alone."""
    size = QUICK if quick else FULL
    os.environ |= ENVIRONMENT
    with TemporaryDirectory() as name, ExitStack() as stack, quiet_optuna():
        stores = [*open_stores(stack, Path(name), is_whole=not quick)]
        figures = []
        for store in stores:
            run_ours(store, 5, 1, do_nothing)  # imports, connections
            if store.is_bulk:
                figures += against_journal(store, size)
            figures += against_recorders(store, size)
        return [*figures, *scaling(stores[0], size), *growth(stores[0], size)]


def open_stores(stack: ExitStack, folder: Path, is_whole: bool) -> Iterator[Store]:
    """Start the servers, and name the stores."""
    local = f"sqlite:///{folder}/local.db"
    yield Store(name="SQLite", uri=local, is_bulk=True)
    databases = {"SQLite": [f"sqlite:///{folder}/{kind}.db" for kind in ("ours", "plain")]}
    if is_whole:
        server = stack.enter_context(run_postgres(is_durable=True))
        databases["PostgreSQL"] = [stack.enter_context(server.database()) for _ in range(2)]
    for name, (ours, plain) in databases.items():
        for_files = folder / name
        for_files.mkdir()
        uri = stack.enter_context(serve_gated(for_files, ours, *WORKERS))
        yield Store(name=f"our server on {name}", uri=uri, is_bulk=True)
        options = ("--backend-store-uri", plain, *WORKERS)
        uri = stack.enter_context(serve(for_files, free_port(), *options, **QUIET))
        yield Store(name=f"plain server on {name}", uri=uri, is_bulk=False)


def against_journal(store: Store, size: Size) -> Iterator[Figure]:
    """Compare a study that is visible with one that is not: what the record costs."""
    for workers in {1, max(size.workers)}:
        jobs = (
            partial(run_ours, store, size.trials, workers, work),
            partial(run_optuna, size.trials, workers, work),
            partial(run_unseen, size.trials, workers, work),
        )
        ours, optuna_alone, unseen = median_seconds(jobs, size.runs)
        for peer, seconds in (
            ("Optuna, nothing logged", optuna_alone),
            ("ours, nothing logged", unseen),
        ):
            yield Figure(
                name=f"{size.trials} trials of 20 ms, {workers} at a time, {store.name}",
                value=ours,
                unit="s",
                peer=peer,
                peer_value=seconds,
                at_most=1.05 if workers == 1 else 1.15,
            )


def against_recorders(store: Store, size: Size) -> Iterator[Figure]:
    """Compare ways to have trials that cost nothing themselves in MLflow."""
    few = size.storage_trials[store.uri.startswith("http")]
    jobs = (
        partial(run_ours, store, size.trials, 1, do_nothing),
        partial(run_callback, store, size.callback_trials),
        partial(run_storage, store, few),
    )
    ours, callback, storage = median_seconds(jobs, size.runs)
    rate = size.trials / ours
    peers = {
        "MlflowStorage": few / storage,
        "MLflowCallback": size.callback_trials / callback,
    }
    goals: tuple[int | None, ...] = (200, 25) if store.is_bulk else (25, 2)
    if size is not FULL:  # so few trials are over before the peers get slow, or ours gets going
        goals = (None, None)
    for (peer, theirs), goal in zip(peers.items(), goals, strict=True):
        yield Figure(
            name=f"{size.trials} trials without work, {store.name}",
            value=rate,
            unit="trials/s",
            peer=peer,
            peer_value=theirs,
            at_least=goal,
        )


def scaling(store: Store, size: Size) -> Iterator[Figure]:
    """Measure the share of the workers' time that is no work, from the first trial to the last."""
    for workers in size.workers:
        lost = [
            statistics.median(share_lost(run().trials, workers) for _ in range(size.runs))
            for run in (
                partial(run_ours, store, size.trials, workers, work),
                partial(run_optuna, size.trials, workers, work),
            )
        ]
        yield Figure(
            name=f"time lost, 20 ms, {workers} at a time",
            value=100 * lost[0],
            unit="%",
            peer="Optuna, nothing logged",
            peer_value=100 * lost[1],
        )


def share_lost(trials: list[Any], workers: int) -> float:
    """Return the share of the time of *workers* in which none of them worked."""
    begin, end = min(t.datetime_start for t in trials), max(t.datetime_complete for t in trials)
    return 1 - len(trials) * WORK_S / (workers * (end - begin).total_seconds())


def growth(store: Store, size: Size) -> Iterator[Figure]:
    """Compare what a late trial costs with what an early one costs, and fit the exponents."""
    share = size.growth_trials // 10
    (early,) = median_seconds([partial(run_ours, store, share, 1, do_nothing)], size.runs)
    # The first batch is written after a second: what comes before it is cheaper than the rest.
    late = [
        costs_of(run_ours(store, size.growth_trials, 1, do_nothing))[share:]
        for _ in range(size.runs)
    ]
    ours = sorted(late, key=lambda costs: sum(costs[-share:]))[len(late) // 2]
    yield Figure(
        name=f"a trial among the last {share} of {size.growth_trials:,}, {store.name}",
        value=1e3 * statistics.mean(ours[-share:]),
        unit="ms",
        peer=f"one of a study of {share}",
        peer_value=1e3 * early / share,
        at_most=1.2,
    )
    for peer, run, trials in (
        ("MLflowCallback", run_callback, size.callback_trials),
        ("MlflowStorage", run_storage, size.storage_trials[0]),
    ):
        yield Figure(
            name=f"growth exponent, {size.growth_trials:,} trials against {trials}",
            value=exponent(ours),
            unit="",
            peer=peer,
            peer_value=exponent(costs_of(run(store, trials))),
        )


def costs_of(taken: Taken) -> list[float]:
    """Return the seconds from the end of each trial to the end of the next."""
    done = [trial.datetime_complete.timestamp() for trial in taken.trials]
    return [later - earlier for earlier, later in pairwise(done)]


def exponent(costs: list[float]) -> float:
    """Return the slope of log cost over log number: 0 is flat, 1 proportional.

    From means over tenths: the cost of a trial that waits for the disk or for a batch is no trend.
    """
    size = max(1, len(costs) // 10)
    means = [statistics.mean(costs[first : first + size]) for first in range(0, len(costs), size)]
    numbers = [math.log((0.5 + n) * size) for n in range(len(means))]
    return statistics.linear_regression(numbers, [math.log(mean) for mean in means]).slope


def median_seconds(jobs: Sequence[Callable[[], Taken]], runs: int) -> list[float]:
    """Run *jobs* in turn, *runs* times over, so that a busy moment hits all; median each, in s."""
    taken = [[job().seconds for job in jobs] for _ in range(runs)]
    return [statistics.median(times) for times in zip(*taken, strict=True)]


def run_ours(store: Store, trials: int, workers: int, objective: Callable[[Any], float]) -> Taken:
    """Run a study that is visible in *store* at its end."""
    search = replace(SEARCH, n_trials=trials, workers=workers)
    with TemporaryDirectory() as folder:
        place = open_place(store, Path(folder))
        taken = follow(place, Path(folder), search, objective)
    found = place.client.search_runs([place.experiment_id], max_results=50_000)
    if len(found) != trials + 1:
        raise RuntimeError(f"{len(found) - 1} of {trials} trials are visible in {store.name}")
    return taken


def follow(place: Any, folder: Path, search: Search, objective: Callable[[Any], float]) -> Taken:
    """Run what is missing of a study as `mlflow_ext.tuning.tune` does."""
    study_store = open_store(search, "bench", folder)
    study = begin_study(study_store, search, "bench")
    start = time.perf_counter()
    with following(place, open_study(search, "bench", folder), str(folder)):
        run_trials(Desk(study_store, study, search), search, objective)
    return Taken(seconds=time.perf_counter() - start, trials=study.trials)


def open_place(store: Store, folder: Path) -> Any:
    """Make an experiment with the run of a study."""
    import mlflow

    client = mlflow.MlflowClient(store.uri)
    experiment = client.create_experiment(uuid.uuid4().hex)
    study = open_study(SEARCH, "bench", folder)
    return open_study_run(client, client.create_run(experiment), study, SEARCH.metric)


def run_unseen(trials: int, workers: int, objective: Callable[[Any], float]) -> Taken:
    """Run the same study with nothing logged."""
    search = replace(SEARCH, n_trials=trials, workers=workers)
    with TemporaryDirectory() as folder:
        study_store = open_store(search, "bench", Path(folder))
        study = begin_study(study_store, search, "bench")
        start = time.perf_counter()
        run_trials(Desk(study_store, study, search), search, objective)
        return Taken(seconds=time.perf_counter() - start, trials=study.trials)


def run_optuna(trials: int, workers: int, objective: Callable[[Any], float]) -> Taken:
    """Run Optuna's own loop on its journal; several workers are processes, as with ours."""
    with TemporaryDirectory() as folder:
        file = f"{folder}/peer.journal"
        study = open_peer(file)
        if workers == 1:
            return optimize(study, trials, objective)
        spawn = multiprocessing.get_context("spawn")
        counts = [len(range(worker, trials, workers)) for worker in range(workers)]
        crew = [spawn.Process(target=take_part, args=(file, count)) for count in counts]
        start = time.perf_counter()
        for worker in crew:
            worker.start()
        for worker in crew:
            worker.join()
        return Taken(seconds=time.perf_counter() - start, trials=open_peer(file).trials)


def optimize(
    study: Any, trials: int, objective: Callable[[Any], float], callbacks: Sequence[Any] = ()
) -> Taken:
    """Run Optuna's own loop in this process."""
    start = time.perf_counter()
    study.optimize(lambda t: objective(suggested(t)), n_trials=trials, callbacks=[*callbacks])
    seconds = time.perf_counter() - start
    return Taken(seconds=seconds, trials=sorted(study.trials, key=lambda trial: trial.number))


def open_peer(file: str, name: str = "peer") -> Any:
    """Open a study of Optuna's on its own journal."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend = optuna.storages.journal.JournalFileBackend(file)
    storage = optuna.storages.JournalStorage(backend)
    sampler = optuna.samplers.RandomSampler()
    return optuna.create_study(
        storage=storage, sampler=sampler, study_name=name, load_if_exists=True
    )


def take_part(file: str, trials: int) -> None:
    """Run trials of the peer in this process."""
    optimize(open_peer(file), trials, work)


@contextmanager
def without_us() -> Iterator[None]:
    """Let MLflow know none of our plugins: the peers' users need not have them."""
    from mlflow.tracking.context.registry import _run_context_provider_registry as registry

    before = registry._registry
    registry._registry = [one for one in before if "mlflow_ext" not in type(one).__module__]
    yield
    registry._registry = before


@without_us()
def run_storage(store: Store, trials: int) -> Taken:
    """Run a study whose storage is MLflow."""
    import mlflow
    import optuna
    from mlflow.optuna import MlflowStorage

    mlflow.set_tracking_uri(store.uri)
    experiment = mlflow.MlflowClient().create_experiment(uuid.uuid4().hex)
    storage = MlflowStorage(experiment_id=experiment)
    sampler = optuna.samplers.RandomSampler()
    study = optuna.create_study(storage=storage, sampler=sampler, study_name=uuid.uuid4().hex)
    return optimize(study, trials, do_nothing)


@without_us()
def run_callback(store: Store, trials: int) -> Taken:
    """Run a study that logs each trial as a run when it ends."""
    from optuna.exceptions import ExperimentalWarning
    from optuna_integration import MLflowCallback

    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        callback = MLflowCallback(tracking_uri=store.uri, metric_name="value")
        study = open_peer(f"{folder}/peer.journal", name=uuid.uuid4().hex)
        return optimize(study, trials, do_nothing, [callback])


def suggested(trial: Any) -> Any:
    """Choose the parameters that our study has chosen before an objective gets its trial."""
    for name in NAMES:
        trial.suggest_float(name, -1.0, 1.0)
    return trial


def do_nothing(trial: Any) -> float:
    """An objective that costs nothing."""
    return sum(value * value for value in trial.params.values())


def work(trial: Any) -> float:
    """An objective that takes 20 ms."""
    time.sleep(WORK_S)
    return do_nothing(trial)


if __name__ == "__main__":
    sys.exit(report(__doc__, measure))
