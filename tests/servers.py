"""Real servers on loopback, started and stopped by the test that needs them."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MLFLOW_SERVER = ("-m", "mlflow", "server")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serve(folder, port, *options, program=MLFLOW_SERVER, prefix="", **environment):
    """Run a real `mlflow server` on loopback; yields its URL, stops it by its process id."""
    url, log = f"http://127.0.0.1:{port}{prefix}", folder / f"server-{port}.log"
    command = [sys.executable, *program, "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--workers", "1", *options],
            env=os.environ | environment,
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            wait_until_healthy(url, process, log)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


@contextmanager
def serve_gated(folder, database, *options, app="mlflow-ext", **environment):
    """Run a server on the gated registry of *database*, with a key of its own; as `serve`."""
    stores = ("--backend-store-uri", database, "--registry-store-uri", f"gated+{database}")
    files = ("--artifacts-destination", str(folder / "artifacts"))
    key = {"MLFLOW_EXT_KEY": str(folder / "server.pem")}
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # unless a test asks for jobs
    given = key | quiet | environment
    with serve(folder, free_port(), *stores, *files, "--app-name", app, *options, **given) as url:
        yield url


def wait_until_healthy(url, process, log):
    for _ in range(240):
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                return
        except OSError:
            time.sleep(0.25)
    raise RuntimeError(f"mlflow server did not start:\n{log.read_text()}")
