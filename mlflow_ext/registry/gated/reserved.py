"""Tags that a gated registry keeps to itself, or lets be written once."""

from __future__ import annotations

from mlflow_ext.registry import tags
from mlflow_ext.registry.gated.standing import IS_PROMPT

PREFIX = "mlflow_ext."
PROVENANCE = (
    *(tags.PROJECT_DIGEST, tags.COMMIT, tags.DIRTY, tags.SERIALIZATION),
    *(tags.FINGERPRINT, tags.PROMISED),
)
"""Where a version comes from: said once, never changed."""
FREE_ON_MODELS = (tags.PROJECT_DIGEST,)
FREE_ON_VERSIONS = (tags.GATE_RUN,)


def objection_to_model_tag(key: str, has_models: bool) -> str | None:
    """Say why nobody may write or delete a tag of a registered model, or None.

    Args:
        key: Name of the tag.
        has_models: The registered model holds versions that are no prompts.
    """
    if key == IS_PROMPT and has_models:
        return f"tag '{key}' would hide a model that has versions from every client"
    return None if _is_foreign(key) or key in FREE_ON_MODELS else _kept(key)


def objection_to_version_tag(key: str, is_there: bool) -> str | None:
    """Say why nobody may write or delete a tag of a version, or None.

    Args:
        key: Name of the tag.
        is_there: The version carries that tag already.
    """
    if _is_foreign(key) or key in FREE_ON_VERSIONS:
        return None
    if key.startswith(PROVENANCE):
        return f"tag '{key}' tells where the version comes from and is there" if is_there else None
    return _kept(key)


def _is_foreign(key: str) -> bool:
    return not key.lower().startswith(PREFIX)


def _kept(key: str) -> str:
    return f"tag '{key}' is kept by the registry, which writes no evidence into tags"
