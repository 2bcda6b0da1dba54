"""Real MLflow for every test: a fresh sqlite store, or a real server, never a mock."""

import os
import shutil

import pytest
from databases import make_mlflow_database, run_mariadb, run_postgres
from hypothesis import settings
from servers import free_port, serve

# Before the first import of MLflow, Great Expectations and OpenMP, which look at these once.
os.environ |= {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "OMP_NUM_THREADS": "1",  # threads of several workers on shared cores wait for each other
}
import mlflow  # a plugin module that is imported before MLflow stays unregistered

# A distribution of its own with tests of its own; see testing/test_example_plugin.py.
collect_ignore = ["example_plugin"]

# Machines that run tests are shared: how long an example takes says nothing about it.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

# Variables through which one test (or the caller's shell) would leak into the next.
LEAKS = (
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
)


@pytest.fixture(autouse=True)
def _clean_mlflow_state():
    forget()
    yield
    while mlflow.active_run():
        mlflow.end_run()
    forget()  # the next one may be a fixture of a whole module, which no other runs before


def forget():
    """Leave no variable behind: `mlflow.set_experiment` writes one, whoever cleans up after it."""
    for name in LEAKS:
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """An MLflow database without content: creating one takes seconds, copying it does not."""
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    engine = create_sqlalchemy_engine(f"sqlite:///{file}")
    _initialize_tables(engine)
    engine.dispose()
    return file


@pytest.fixture
def tracking(empty_store, tmp_path, monkeypatch):
    """A fresh sqlite store in an empty working directory; yields its client."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    mlflow.set_experiment("test")
    yield mlflow.MlflowClient()
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])
    # The fluent API remembers the experiment of a store that is gone by the next test.
    mlflow.tracking.fluent._active_experiment_id = None
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


@pytest.fixture
def server(empty_store, tmp_path):
    """A real `mlflow server` on an empty store; yields its URL."""
    shutil.copy(empty_store, tmp_path / "server.db")
    store = f"sqlite:///{tmp_path}/server.db"
    artifacts = str(tmp_path / "artifacts")
    options = ("--backend-store-uri", store, "--artifacts-destination", artifacts)
    with serve(tmp_path, free_port(), *options) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_server():
    """A real PostgreSQL of this worker; see databases.py."""
    with run_postgres() as server:
        yield server


@pytest.fixture
def postgres(postgres_server):
    """URL of a fresh, empty PostgreSQL database, ``postgresql+psycopg2://…``."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server):
    """Name of a database with MLflow's tables: creating them takes seconds, copying does not."""
    return make_mlflow_database(postgres_server)


@pytest.fixture
def postgres_store(postgres_server, postgres_template):
    """URL of a fresh PostgreSQL database that holds MLflow's empty tables."""
    with postgres_server.database(postgres_template) as url:
        yield url


@pytest.fixture(scope="session")
def mysql_server():
    """A real MariaDB of this worker; see databases.py."""
    with run_mariadb() as server:
        yield server


@pytest.fixture
def mysql(mysql_server):
    """URL of a fresh, empty MariaDB database, ``mysql+pymysql://…``."""
    with mysql_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def mysql_template(mysql_server):
    """A dump of MLflow's tables: creating them takes seconds, loading it does not."""
    return mysql_server.dump(make_mlflow_database(mysql_server))


@pytest.fixture
def mysql_store(mysql_server, mysql_template):
    """URL of a fresh MariaDB database that holds MLflow's empty tables."""
    with mysql_server.database(mysql_template) as url:
        yield url
