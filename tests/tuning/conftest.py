"""What tests of tuning share."""

import pytest
from proxy_server import serve_proxy
from servers import free_port


@pytest.fixture
def proxy(postgres):
    """Address of a fresh, real gRPC proxy of Optuna before a PostgreSQL database."""
    with serve_proxy(postgres, free_port()) as (url, _):
        yield url
