"""Real servers on loopback, started and stopped by the test that needs them."""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MLFLOW_SERVER = ("-m", "mlflow", "server")
OUR_SCRIPT = str(Path(sysconfig.get_path("scripts")) / "mlflow-ext")
OUR_SERVER = (OUR_SCRIPT, "server")
LAST_BLOCKED_PORT = 10_080
"""The highest port on which Chromium opens no page, for fear of what else may listen there."""


def free_port():
    """Return a port that nobody uses and a browser opens."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port > LAST_BLOCKED_PORT:
            return port


class Server:
    """A real `mlflow server` on loopback, in a process group of its own."""

    def __init__(self, folder, port, *options, program=MLFLOW_SERVER, prefix="", **environment):
        self.url = f"http://127.0.0.1:{port}{prefix}"
        self.log = folder / f"server-{port}.log"
        where = ("--host", "127.0.0.1", "--port", str(port), "--workers", "1")
        self._command = [sys.executable, *program, *where, *options]
        self._settings = {"env": os.environ | environment, "cwd": folder}
        self._process = None

    def launch(self):
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                **self._settings,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_until_healthy(self):
        for _ in range(240):
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.25)
        raise RuntimeError(f"mlflow server did not start:\n{self.log.read_text()}")

    def end(self, how=signal.SIGTERM):
        """End every process of the group; SIGKILL lets none of them clean up."""
        if self._process and self._process.returncode is None:
            os.killpg(self._process.pid, how)
            self._process.wait(timeout=30)


@contextmanager
def running(*servers):
    """Start servers side by side; stop them by their process ids."""
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.wait_until_healthy()
        yield servers
    finally:
        for server in servers:
            server.end()


@contextmanager
def serve(folder, port, *options, **settings):
    """Run a server as `Server` describes it; yields its URL."""
    with running(Server(folder, port, *options, **settings)) as (server,):
        yield server.url


def gated_server(folder, database, *more, **environment):
    """Return a server as `mlflow-ext server` starts it on *database*, with a key of its own."""
    options = ("--backend-store-uri", database, "--artifacts-destination", folder / "artifacts")
    key = {"MLFLOW_EXT_KEY": str(folder / "server.pem")}
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # unless a test asks for jobs
    given = key | quiet | environment
    return Server(folder, free_port(), *options, *more, program=OUR_SERVER, **given)


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
