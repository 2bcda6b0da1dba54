"""The suite's own tables, beside MLflow's in one database.

They live on a `MetaData` of their own: MLflow derives from its ``Base.metadata`` whether a database
is complete. They are created after MLflow's, never before: a database that holds any table counts
as initialized, and MLflow would try to migrate what is not there.
"""

from __future__ import annotations

import sqlalchemy as sa

from mlflow_ext.records import Kind

SCHEMA_VERSION = 2
PREFIX = "mlflow_ext_"
# SQLite counts up by itself only in a column that is exactly INTEGER.
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LONG_TEXT = sa.Text().with_variant(sa.Text(16_777_215), "mysql")  # TEXT holds 64 kB there

metadata = sa.MetaData()

schema = sa.Table(
    f"{PREFIX}schema",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
)

heads = sa.Table(
    f"{PREFIX}heads",
    metadata,
    sa.Column("workspace", sa.String(63), primary_key=True),
    sa.Column("seq", NUMBER, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
"""The newest line of each chain; locking it is what puts lines in order."""

ledger = sa.Table(
    f"{PREFIX}ledger",
    metadata,
    sa.Column("id", NUMBER, primary_key=True),
    sa.Column("workspace", sa.String(63), nullable=False),
    sa.Column("seq", NUMBER, nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("model", sa.String(256), nullable=False),
    sa.Column("version", sa.Integer),
    sa.Column("version_created_ms", sa.BigInteger),
    sa.Column("stage", sa.String(64)),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("is_claimed", sa.Boolean, nullable=False),
    sa.Column("client", sa.String(256), nullable=False),
    sa.Column("body", LONG_TEXT, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.UniqueConstraint("workspace", "seq", name="uq_mlflow_ext_ledger_seq"),
    sa.Index("ix_mlflow_ext_ledger_model", "workspace", "model", "kind", "version", "seq"),
)
"""The columns of `mlflow_ext.records.Entry`; *body* is canonical JSON."""

ABOUT_A_VERSION = (
    *(Kind.APPROVAL, Kind.REJECTION, Kind.REGISTRATION),
    *(Kind.REQUEST, Kind.EVIDENCE, Kind.REVOCATION),
)
"""What may decide about a version, whatever its age; of all other lines the newest counts."""
_kinds = [str(kind) for kind in ABOUT_A_VERSION]
# Written out, or the database could not tell that the index below holds all that is asked for.
is_about_a_version = ledger.c.kind.in_(
    sa.bindparam("about", _kinds, expanding=True, literal_execute=True)
)
about_index = sa.Index(
    "ix_mlflow_ext_ledger_about",
    *(ledger.c[name] for name in ("workspace", "model", "version")),
    postgresql_where=ledger.c.kind.in_(_kinds),
    sqlite_where=ledger.c.kind.in_(_kinds),
)
"""Finds them without the rest: PostgreSQL, before it has statistics, would walk the whole chain."""

webhooks = sa.Table(
    f"{PREFIX}webhooks",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("workspace", sa.String(63), nullable=False),
    sa.Column("url", sa.String(500), nullable=False),
    sa.Column("events", sa.String(500), nullable=False),
    sa.Column("secret", sa.String(1000)),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)
"""Who is told; *events* are kinds of ledger lines, separated by commas, or ``*``."""

deliveries = sa.Table(
    f"{PREFIX}deliveries",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("webhook", sa.String(36), nullable=False),
    sa.Column("workspace", sa.String(63), nullable=False),
    sa.Column("event", sa.String(40), nullable=False),
    sa.Column("payload", LONG_TEXT, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("due_ms", sa.BigInteger),
    sa.Column("delivered_ms", sa.BigInteger),
    sa.Column("answer", sa.String(500), nullable=False, default=""),
    sa.Index("ix_mlflow_ext_deliveries_due", "due_ms"),
    sa.Index("ix_mlflow_ext_deliveries_created", "workspace", "created_ms"),
)
"""The outbox: written in the transaction that it tells of. *due_ms* is NULL once delivered or given
up; taking a delivery moves it into the future, so that two servers do not send it twice."""
