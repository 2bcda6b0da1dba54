"""The model registry: who may go live, why each version did, and how to undo it.

Everything here works against any MLflow registry through its public client: *advisory mode*. The
registry itself does not enforce the policy; a client that skips this package is not refused.
"""
