"""A registry with models to promote, on a store that is copied rather than created."""

import shutil

import pytest
from registry_shop import Shop


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """An MLflow database without content: creating one takes a second, copying it does not."""
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    _initialize_tables(create_sqlalchemy_engine(f"sqlite:///{file}"))
    return file


@pytest.fixture
def _copied_store(empty_store, tmp_path):
    shutil.copy(empty_store, tmp_path / "mlflow.db")


@pytest.fixture
def shop(_copied_store, tracking):
    return Shop(tracking)
