"""The gated registry beside plain MLflow: the same calls over HTTP, on two databases.

Peers: `mlflow server` on its own store, and the `mlflow` command. Each client moves versions of a
model of its own back and forth, so that every call of the gated server locks, decides, moves stage
and alias, archives, and writes the ledger. All clients ask one server, then the other, in rounds.
Then: does a long ledger slow decisions, how fast is a chain verified, and how soon does the command
line answer.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from figures import Figure, median_seconds, report

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # real servers are started there

from databases import run_postgres  # noqa: E402
from servers import free_port, serve  # noqa: E402

from mlflow_ext.plugins.registry_store import build_registry_store  # noqa: E402
from mlflow_ext.records import Check, GateReport, Kind, Trust, Verdict  # noqa: E402
from mlflow_ext.registry.gated import ledger  # noqa: E402
from mlflow_ext.registry.gated.caller import Caller  # noqa: E402
from mlflow_ext.registry.gated.service import perform  # noqa: E402
from mlflow_ext.registry.signing import load_key, seal  # noqa: E402
from mlflow_ext.registry.statement import Binding, make_statement  # noqa: E402

CLIENTS = (1, 8)
WORKERS = 4  # as `mlflow server` has by default
ROUNDS = 20  # connections are dealt to workers anew in each
SETTLE_S = 8
AT_MOST = 1.3
LINES = 100_000
LINES_PER_SECOND = 20_000
BENCH = Caller(actor="benchmark")
ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_EXT_KEY": "key.pem"}


def measure(quick: bool) -> list[Figure]:
    """Take all figures; quick means fewer calls, sqlite alone and a shorter ledger."""
    calls = 25 if quick else 200
    with TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {**ENVIRONMENT, "MLFLOW_EXT_KEY": str(folder / "key.pem")}
        figures = [*over_http(folder, "sqlite", sqlite_addresses(folder), calls)]
        if not quick:
            with run_postgres(is_durable=True) as server:
                addresses = [server.url(database) for database in databases(server)]
                figures += over_http(folder, "PostgreSQL", addresses, calls)
        return [*figures, *long_ledger(folder, 5_000 if quick else LINES), *command_line(folder)]


def sqlite_addresses(folder: Path) -> list[str]:
    """Return the addresses of two new databases."""
    return [f"sqlite:///{folder}/{name}.db" for name in ("plain", "gated")]


def databases(server: Any) -> Iterator[str]:
    """Create two databases and yield their names."""
    for name in ("plain", "gated"):
        server.execute(f"CREATE DATABASE {name}")
        yield name


def over_http(folder: Path, database: str, addresses: list[str], calls: int) -> Iterator[Figure]:
    """Measure transitions and aliases for each number of clients."""
    plain, gated = addresses
    with ExitStack() as stack:
        for address in addresses:
            prepare(folder, f"gated+{address}" if address == gated else address)
        options = ("--workers", str(WORKERS), "--uvicorn-opts", "--loop uvloop")
        urls = [
            stack.enter_context(
                serve(folder, free_port(), "--backend-store-uri", address, *more, *options)
            )
            for address, more in (
                (plain, ()),
                (gated, ("--registry-store-uri", f"gated+{gated}")),
            )
        ]
        warm_up(urls)
        for clients in CLIENTS:
            title = f"{database}, {clients} client{'s' if clients > 1 else ''}"
            yield from compare(title, urls, clients, calls)


def compare(title: str, urls: list[str], clients: int, calls: int) -> Iterator[Figure]:
    """Let all clients call one server, then the other, in rounds, and compare how long it took."""
    for name, call in (("transition", transition), ("alias", set_alias)):
        taken: tuple[list[float], list[float]] = ([], [])
        with ThreadPoolExecutor(clients) as pool:
            for _ in range(ROUNDS):
                for url, times in zip(urls, taken, strict=True):
                    ask = partial(call_often, url, calls // ROUNDS, call)
                    times.extend(t for each in pool.map(ask, range(clients)) for t in each)
        plain, gated = taken
        for share, bound in ((50, AT_MOST), (99, None)):
            yield Figure(
                name=f"{name}, {title}, p{share}",
                value=percentile(gated, share) * 1e3,
                unit="ms",
                peer="plain MLflow",
                peer_value=percentile(plain, share) * 1e3,
                at_most=bound,
            )


def warm_up(urls: list[str]) -> None:
    """Reach every worker of both servers; in its first seconds one also starts its job engine."""
    time.sleep(SETTLE_S)
    for url in urls:
        with ThreadPoolExecutor(max(CLIENTS)) as pool:
            for call in (transition, set_alias):
                list(pool.map(partial(call_often, url, 3 * WORKERS, call), range(max(CLIENTS))))


def call_often(
    url: str, calls: int, call: Callable[[Any, str, int], None], client: int
) -> list[float]:
    """Call a server over one open connection; seconds of each call."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    taken = []
    for number in range(calls):
        start = time.perf_counter()
        call(connection, f"model-{client}", 1 + number % 2)
        taken.append(time.perf_counter() - start)
    connection.close()
    return taken


def transition(connection: Any, model: str, version: int) -> None:
    """Move a version to Production, archiving the other."""
    body = {"name": model, "version": str(version), "stage": "Production"}
    post(connection, "model-versions/transition-stage", {**body, "archive_existing_versions": True})


def set_alias(connection: Any, model: str, version: int) -> None:
    """Point an alias at a version that no policy governs."""
    body = {"name": model, "alias": "candidate", "version": str(version)}
    post(connection, "registered-models/alias", body)


def post(connection: Any, path: str, body: dict[str, Any]) -> None:
    """Send one request and read the answer."""
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"/api/2.0/mlflow/{path}", json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {text!r}")


def prepare(folder: Path, address: str) -> None:
    """Register two versions for every client, with evidence where the registry is gated."""
    files = folder / "model"
    files.mkdir(exist_ok=True)
    (files / "MLmodel").write_text("flavors: {}\n")
    store = open_store(address)
    for client in range(max(CLIENTS)):
        model = f"model-{client}"
        store.create_registered_model(model)
        for version in (1, 2):
            store.create_model_version(model, str(files))
            if address.startswith("gated+"):
                attest(store, model, version)
    store._dispose_engine()


def open_store(address: str) -> Any:
    """Open a registry store in this process."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    is_gated = address.startswith("gated+")
    return build_registry_store(address) if is_gated else SqlAlchemyStore(address)


def attest(store: Any, model: str, version: int) -> None:
    """Submit one passed gate report about a version."""
    bound = perform(store, "version", BENCH, {"model": model, "version": version})
    check = Check(name="roc_auc", verdict=Verdict.PASSED, expected=">= 0.5", observed=0.7)
    said = GateReport(
        gate="metrics",
        subject=f"models:/{model}/{version}",
        checks=(check,),
        fingerprints={"features": "f" * 64},
        config_digest="c" * 64,
        created_ms=time.time_ns() // 1_000_000,
    )
    binding = Binding(
        workspace=bound["workspace"],
        model=model,
        version=version,
        version_created_ms=bound["created_ms"],
        model_digest=bound["digest"],
        actor=BENCH.actor,
        trust=Trust.ATTESTED,
    )
    envelope = seal(load_key(), make_statement(said, binding))
    about = {"model": model, "version": version, "envelopes": [envelope]}
    perform(store, "evidence/add", BENCH, about)


def long_ledger(folder: Path, lines: int) -> Iterator[Figure]:
    """Compare decisions over a short and a long ledger, and verify the long one."""
    address = f"gated+sqlite:///{folder}/gated.db"
    store = open_store(address)
    ask = {"model": "model-0", "version": 1, "to": "Production", "dry_run": True}

    def decide() -> None:
        perform(store, "promote", BENCH, ask)

    before = statistics.median(median_seconds(decide, runs=100))
    fill(store, lines)
    after = statistics.median(median_seconds(decide, runs=100))
    yield Figure(
        name=f"a decision over {lines:,} ledger lines",
        value=after * 1e3,
        unit="ms",
        peer="the same over a short ledger",
        peer_value=before * 1e3,
        at_most=AT_MOST,
    )
    start = time.perf_counter()
    found = perform(store, "audit/verify", BENCH, {})
    taken = time.perf_counter() - start
    if found["problems"]:
        raise RuntimeError(f"the chain does not hold: {found['problems'][:3]}")
    yield Figure(
        name=f"audit verify over {found['rows']:,} lines",
        value=found["rows"] / taken,
        unit="lines/s",
        peer="goal",
        peer_value=LINES_PER_SECOND,
        at_least=1,
    )


def fill(store: Any, lines: int) -> None:
    """Append lines as a busy registry has them: about other models, and about this one."""
    with store.holding("model-0") as moment:
        drafts = [
            ledger.Draft(
                workspace=moment.workspace,
                kind=Kind.REFUSAL if number % 4 else Kind.TRANSITION,
                model=f"model-{number % 500}",
                caller=BENCH,
                time_ms=moment.now_ms,
                body={"request": {"reason": "x" * 400}, "transition": {"from_stage": "None"}},
                version=3 + number % 7,
                version_created_ms=number,
                stage="Production",
            )
            for number in range(lines)
        ]
        ledger.append_all(moment.connection, drafts)


def command_line(folder: Path) -> Iterator[Figure]:
    """Compare how soon the two commands answer about one model on one server."""
    address = f"sqlite:///{folder}/gated.db"
    options = ("--backend-store-uri", address, "--registry-store-uri", f"gated+{address}")
    with asking(folder, options) as url:
        ours = ["mlflow-ext", "status", "model-0", "--tracking-uri", url]
        theirs = ["mlflow", "experiments", "search"]
        named = {**os.environ, "MLFLOW_TRACKING_URI": url}
        jobs = [lambda c=command: run(c, named) for command in (ours, theirs)]
        mine, peer = median_seconds(*jobs)
    yield Figure(
        name="mlflow-ext status, whole command",
        value=mine,
        unit="s",
        peer="mlflow experiments search",
        peer_value=peer,
        at_most=0.3,
    )


@contextmanager
def asking(folder: Path, options: tuple[str, ...]) -> Iterator[str]:
    """Run a server with the suite's own routes."""
    with serve(folder, free_port(), "--app-name", "mlflow-ext", *options) as url:
        yield url


def run(command: list[str], environment: dict[str, str]) -> None:
    """Run a command to its end, without what it prints."""
    program = shutil.which(command[0]) or command[0]
    subprocess.run([program, *command[1:]], env=environment, check=True, capture_output=True)


def percentile(values: list[float], share: int) -> float:
    """Return the value that *share* percent of *values* do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


if __name__ == "__main__":
    sys.exit(report(__doc__, measure))
