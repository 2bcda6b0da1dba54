"""The registry of tests/registry, behind the command line."""

import sys
from pathlib import Path

import pytest

from mlflow_ext.project import Promotion

# Test folders are no packages: pytest itself puts each of them on the path in the same way.
sys.path.append(str(Path(__file__).parent.parent / "registry"))

from registry_shop import Shop  # noqa: E402


@pytest.fixture
def shop(tracking):
    """Model 'delay' with its policy and two judged versions."""
    from pydantic import TypeAdapter

    shop = Shop(tracking)
    policy = TypeAdapter(Promotion).dump_json(shop.add_model(2)).decode()
    tracking.set_registered_model_tag("delay", "mlflow_ext.policy", policy)
    shop.judge(1)
    shop.judge(2)
    return shop
