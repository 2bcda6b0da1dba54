"""A registry with models to promote."""

import shutil

import mlflow
import pytest
from cryptography.fernet import Fernet
from gated_shop import GatedShop
from mlflow.store.db.utils import create_sqlalchemy_engine
from receivers import receive
from registry_shop import Shop

from mlflow_ext.registry.gated.governance import server_key_id
from mlflow_ext.registry.gated.tables import metadata


@pytest.fixture
def shop(tracking):
    return Shop(tracking)


@pytest.fixture
def mlflow_database(request, empty_store, tmp_path):
    """URL of a database that holds MLflow's empty tables: sqlite, or what the test asks for."""
    stores = {"postgresql": "postgres_store", "mysql": "mysql_store"}
    if fixture := stores.get(getattr(request, "param", "sqlite")):
        return request.getfixturevalue(fixture)
    shutil.copy(empty_store, tmp_path / "gated.db")
    return f"sqlite:///{tmp_path}/gated.db"


@pytest.fixture
def server_key(tmp_path, monkeypatch):
    """File of the registry's own key, which otherwise lies in the home of whoever runs this."""
    monkeypatch.setenv("MLFLOW_EXT_KEY", str(tmp_path / "server.pem"))
    server_key_id.cache_clear()
    yield tmp_path / "server.pem"
    server_key_id.cache_clear()


@pytest.fixture
def gated(mlflow_database, server_key, tmp_path):
    """A gated registry in this process."""
    shop = GatedShop(mlflow_database, tmp_path)
    yield shop
    shop.store._dispose_engine()


@pytest.fixture
def laptop(gated):
    """The database of the gated registry holds the runs too, as where there is no server."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(gated.uri)
    yield gated
    mlflow.set_tracking_uri(before)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """URL of a database, each kind in turn, that holds the suite's own empty tables."""
    url = f"sqlite:///{tmp_path}/own.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres")
    engine = create_sqlalchemy_engine(url)
    metadata.create_all(engine)
    engine.dispose()
    return url


@pytest.fixture
def open_database():
    """Open an engine as a server of its own would; all are closed after the test."""
    opened = []

    def open_engine(url):
        opened.append(create_sqlalchemy_engine(url))
        return opened[-1]

    yield open_engine
    for engine in opened:
        engine.dispose()


@pytest.fixture
def receiver(monkeypatch):
    """A webhook's other end on loopback, which the rules for addresses allow for this test."""
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode())
    with receive() as receiver:
        yield receiver
