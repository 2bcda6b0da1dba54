"""The model registry: who may go live, why each version did, and how to undo it.

Two modes. *Gated*: the registry itself refuses what its policy does not allow, from any client, and
keeps every decision in a ledger. *Advisory* (the folder ``advisory``): the same flow through the
public client of any plain MLflow, where a client that skips this package is not refused.
"""
