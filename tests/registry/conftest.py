"""A registry with models to promote."""

import pytest
from cryptography.fernet import Fernet
from mlflow.store.db.utils import create_sqlalchemy_engine
from receivers import receive
from registry_shop import Shop

from mlflow_ext.registry.tables import metadata


@pytest.fixture
def shop(tracking):
    return Shop(tracking)


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
