"""A registry with models to promote."""

import pytest
from registry_shop import Shop


@pytest.fixture
def shop(tracking):
    return Shop(tracking)
