"""The chain of the ledger finds every line that was edited, removed, moved or forged."""

import string

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from mlflow.store.db.utils import create_sqlalchemy_engine
from sqlalchemy.orm import Session

from mlflow_ext.errors import LedgerError
from mlflow_ext.records import Kind
from mlflow_ext.registry.chain import canonical, hash_link
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.caller import Caller
from mlflow_ext.registry.gated.tables import heads, metadata

LINES = 8
CALLER = Caller(actor="ann@test", client="test")
words = st.text(string.ascii_lowercase + "é\"\\'\n", min_size=1, max_size=12)


def draft(number=0, workspace="default", **changes):
    values = {
        "workspace": workspace,
        "kind": Kind.REQUEST,
        "model": "delay",
        "caller": CALLER,
        "time_ms": 1_700_000_000_000 + number,
        "body": {"reason": f"line {number}", "number": number, "ä": [None, 0.1, {"b": True}]},
        "version": number or None,
        "version_created_ms": 1_600_000_000_000 if number else None,
        "stage": "Production" if number % 2 else None,
    }
    return ledger.Draft(**{**values, **changes})


@pytest.fixture
def engine(database, open_database):
    """A database, each kind in turn, with two chains of eight and three lines."""
    opened = open_database(database)
    write(opened)
    return opened


def write(engine):
    with Session(engine) as session, session.begin():
        for number in range(LINES):
            ledger.append(session.connection(), draft(number))
        for number in range(3):
            ledger.append(session.connection(), draft(number, workspace="team-a"))


def verify(engine, workspace="default"):
    """Return what is wrong with a chain, as (number, problem)."""
    with Session(engine) as session:
        return [(b.seq, b.problem) for b in ledger.verify(session, workspace)[2]]


def execute(engine, statement):
    with engine.begin() as connection:
        return connection.execute(statement).rowcount


def edit(engine, seq, /, **values):
    where = (ledger.ledger.c.seq == seq) & (ledger.ledger.c.workspace == "default")
    assert execute(engine, ledger.ledger.update().where(where).values(values)) == 1


def remove(engine, *numbers):
    table = ledger.ledger
    where = table.c.seq.in_(numbers) & (table.c.workspace == "default")
    assert execute(engine, table.delete().where(where)) == len(numbers)


def test_an_untouched_chain_verifies_each_workspace_alone(engine):
    with Session(engine) as session:
        rows, head, breaks = ledger.verify(session, "default")
        other = ledger.verify(session, "team-a")
    assert (rows, head.seq, breaks) == (LINES, LINES, [])
    assert (other[0], other[1].seq, other[2]) == (3, 3, [])


def test_an_empty_chain_verifies(engine):
    assert verify(engine, "nobody") == []


def test_lines_come_back_as_they_were_written(engine):
    with Session(engine) as session, session.begin():
        written = ledger.append(session.connection(), draft(9, body={"a": {1: "x"}, "b": (1, 2)}))
    with Session(engine) as session:
        assert ledger.read(session, "default", "delay", version=9) == [written]
    assert written.body == {"a": {"1": "x"}, "b": [1, 2]}


def test_a_removed_line_is_named(engine):
    remove(engine, 4)
    assert verify(engine) == [(5, "line 4 removed")]


def test_several_removed_lines_are_named(engine):
    remove(engine, 3, 4, 5)
    assert verify(engine) == [(6, "lines 3 to 5 removed")]


def test_a_chain_without_its_beginning_is_found(engine):
    remove(engine, 1)
    assert verify(engine) == [(2, "line 1 removed")]


def test_a_truncated_chain_is_found_by_its_head(engine):
    remove(engine, 7, 8)
    [(seq, problem)] = verify(engine)
    assert seq == LINES
    assert problem == "the chain ends at line 6, its head says 8: the last lines were removed"


def test_a_chain_that_was_removed_whole_is_found(engine):
    remove(engine, *range(1, LINES + 1))
    assert [problem for _, problem in verify(engine)] == [
        "the chain ends at line 0, its head says 8: the last lines were removed"
    ]


def test_a_removed_head_is_found(engine):
    execute(engine, heads.delete().where(heads.c.workspace == "default"))
    assert len(verify(engine)) == 1


def test_lines_that_changed_places_are_named(engine):
    for seq, to in ((3, 100), (6, 3), (100, 6)):
        edit(engine, seq, seq=to)
    found = verify(engine)
    assert {seq for seq, _ in found} >= {3, 6}
    assert (3, "the line was edited") in found
    assert (6, "the line was edited") in found


def test_a_line_under_another_number_of_the_database_is_named_by_the_next_one(engine):
    """No hash covers that number."""
    before = row_of(engine, 3)["id"]
    edit(engine, 3, id=1_000)
    assert verify(engine) == [(4, "its number is not above 1000, that of line 3")]
    edit(engine, 3, id=before)
    assert verify(engine) == []


def test_numbers_of_two_chains_in_turn_rise_in_each(engine):
    with Session(engine) as session, session.begin():
        for workspace in ("team-a", "default", "team-a"):
            ledger.append(session.connection(), draft(9, workspace=workspace))
    assert (verify(engine), verify(engine, "team-a")) == ([], [])


def test_a_line_that_was_appended_past_the_ledger_is_named(engine):
    forge(engine, LINES + 1, previous="0" * 64, digest="0" * 64)
    problems = verify(engine)
    assert (LINES + 1, "does not continue the line before it") in problems
    assert (LINES + 1, "the line was edited") in problems


def test_a_forged_line_with_good_hashes_is_found_by_the_head(engine):
    last = newest(engine)
    content = forged_content(LINES + 1)
    digest = hash_link(content, "{}", last.hash)
    forge(engine, LINES + 1, previous=last.hash, digest=digest)
    assert [seq for seq, _ in verify(engine)] == [LINES]


def newest(engine):
    with Session(engine) as session:
        return ledger.read_head(session, "default")


def forged_content(seq):
    told = ("policy", "delay", None, None, None, 1_700_000_000_000, "eve", False, "")
    return ("default", seq, *told)


def forge(engine, seq, previous, digest):
    names = [c.name for c in ledger.ledger.c if c.name not in ("id", "body", "previous", "hash")]
    row = dict(zip(names, forged_content(seq), strict=True))
    row |= {"body": "{}", "previous": previous, "hash": digest}
    assert execute(engine, ledger.ledger.insert().values(row)) == 1


def test_reading_stops_at_an_edited_line(engine):
    edit(engine, 3, actor="eve")
    with Session(engine) as session, pytest.raises(LedgerError, match="line 3 of the ledger"):
        ledger.read(session, "default", "delay")


def test_a_failed_append_leaves_no_trace(engine):
    before = newest(engine)
    with Session(engine) as session:
        ledger.append(session.connection(), draft(9))
        session.rollback()
    assert newest(engine) == before
    assert verify(engine) == []


@pytest.fixture(scope="module")
def chain():
    """A chain in memory, which every example edits and puts back."""
    engine = create_sqlalchemy_engine("sqlite://")
    metadata.create_all(engine)
    write(engine)
    yield engine
    engine.dispose()


def restore(engine):
    execute(engine, ledger.ledger.delete())
    execute(engine, heads.delete())
    write(engine)


edits = st.one_of(
    st.tuples(st.sampled_from(["model", "stage", "actor", "client", "previous", "hash"]), words),
    st.tuples(st.sampled_from(["version", "version_created_ms", "time_ms"]), st.integers(0, 2**31)),
    st.tuples(st.just("body"), words.map(lambda word: canonical({"reason": word}))),
    st.tuples(st.just("kind"), st.sampled_from(["approval", "evidence", "policy"])),
    st.just(("is_claimed", False)),
)


@given(seq=st.integers(1, LINES), change=edits)
def test_any_edit_of_any_column_is_found_where_it_is(chain, seq, change):
    before = row_of(chain, seq)
    column, value = change
    edit(chain, seq, **{column: value})
    found = verify(chain)
    edit(chain, seq, **{column: before[column]})
    assert ((seq, "the line was edited") in found) == (value != before[column])
    assert verify(chain) == []


def row_of(engine, seq):
    where = (ledger.ledger.c.seq == seq) & (ledger.ledger.c.workspace == "default")
    with engine.connect() as connection:
        return connection.execute(sa.select(ledger.ledger).where(where)).mappings().one()


@given(st.integers(1, LINES))
def test_a_line_that_was_moved_to_another_workspace_is_found_in_both(chain, seq):
    edit(chain, seq, workspace="team-b")
    here, there = verify(chain), verify(chain, "team-b")
    restore(chain)
    assert [number for number, _ in here] == [min(seq + 1, LINES)]
    assert (seq, "the line was edited") in there


@given(st.sets(st.integers(1, LINES), min_size=1))
def test_any_removed_lines_are_found(chain, numbers):
    remove(chain, *numbers)
    found = verify(chain)
    restore(chain)
    behind = {n + 1 for n in numbers} - numbers - {LINES + 1}
    is_truncated = LINES in numbers
    assert {seq for seq, _ in found} == behind | ({LINES} if is_truncated else set())


@given(st.permutations(range(1, LINES + 1)))
def test_any_other_order_is_found(chain, order):
    for seq, to in zip(range(1, LINES + 1), order, strict=True):
        edit(chain, seq, seq=100 + to)
    for seq in range(1, LINES + 1):
        edit(chain, 100 + seq, seq=seq)
    edited = {seq for seq, problem in verify(chain) if problem == "the line was edited"}
    restore(chain)
    assert edited == {to for seq, to in enumerate(order, 1) if seq != to}


def plan(connection, read):
    """Return how SQLite goes about the query of *read*."""
    asked = []

    def listen(_connection, _cursor, statement, values, *_):
        asked.append((statement, values))

    sa.event.listen(connection, "before_cursor_execute", listen)
    read()
    sa.event.remove(connection, "before_cursor_execute", listen)
    [(statement, values)] = asked
    return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_a_decision_needs_is_found_however_long_the_chain_is(engine):
    with engine.connect() as connection:
        about = (connection, "default", "delay")
        for read in (
            lambda: ledger.read_newest(*about, Kind.POLICY),
            lambda: ledger.read_newest(*about, Kind.EVIDENCE, version=3, version_created_ms=1),
            lambda: ledger.read_case(*about, 3, "Production"),
        ):
            steps = [step for step in plan(connection, read) if "mlflow_ext_ledger" in step]
            ways = ("(workspace=? AND model=? AND kind=? AND version=?)", "(rowid=?)")
            assert [step for step in steps if not step.endswith(ways)] == []
