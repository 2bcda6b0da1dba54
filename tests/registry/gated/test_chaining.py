"""Lines are put behind the newest one alike wherever it is done: here, or inside PostgreSQL."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ext.records import Kind
from mlflow_ext.registry.chain import canonical, hash_link, split_link
from mlflow_ext.registry.gated import ledger
from mlflow_ext.registry.gated.caller import Caller
from mlflow_ext.registry.gated.chaining import FEW

ODD = "quote \" apostrophe ' back\\slash 100 % :name %(ours)s é 漢 😀 \u2028 \t\n <b> NULL"
texts = st.text(st.characters(codec="utf-8"), max_size=20)


def draft(number, text=ODD, version=1):
    return ledger.Draft(
        workspace="default",
        kind=Kind.REQUEST,
        model=text,
        caller=Caller(actor=text, client=text, is_claimed=bool(number % 2)),
        time_ms=2**53 + number,
        body={text: [text, "\0", None, 0.1, 1e300, {"deep": number}]},
        version=version,
        version_created_ms=version,
        stage="Canary 'é'" if version else None,
    )


def check(engine, lines):
    """Let Python verify every hash, and compare what is read with what was written."""
    with engine.connect() as connection:
        count, head, breaks = ledger.verify(connection, "default")
        assert (count, head.seq, breaks) == (lines, lines, [])
        return ledger.read_page(connection, "default", 0, lines)


@pytest.mark.parametrize("lines", [1, 2, FEW, FEW + 1])
def test_odd_lines_are_chained_and_come_back(database, open_database, lines):
    engine = open_database(database)
    drafts = [draft(n, version=n % 3 or None) for n in range(lines)]
    with engine.begin() as connection:
        assert ledger.append_all(connection, drafts) == lines
        assert ledger.append_all(connection, drafts) == 2 * lines
    found = check(engine, 2 * lines)
    assert [entry.body for entry in found] == [d.body for d in drafts] * 2
    assert [entry.actor for entry in found] == [ODD] * 2 * lines
    assert [entry.version for entry in found] == [d.version for d in drafts] * 2


def test_another_driver_of_postgresql_chains_the_same(postgres, open_database):
    ledger.heads.metadata.create_all(open_database(postgres))
    for driver in ("psycopg2", "psycopg"):
        with open_database(postgres.replace("psycopg2", driver)).begin() as connection:
            ledger.append_all(connection, [draft(1), draft(2)])
    check(open_database(postgres), 4)


def test_many_writers_on_a_chain_that_has_not_begun_leave_one_chain(postgres, open_database):
    engine = open_database(postgres)
    ledger.heads.metadata.create_all(engine)

    def write(writer):
        for number in range(20):
            with engine.begin() as connection:
                ledger.append_all(connection, [draft(n, f"writer {writer}") for n in range(3)])
                if number % 5 == 4:
                    connection.rollback()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    found = check(engine, 8 * 16 * 3)
    assert {entry.model for entry in found} == {f"writer {n}" for n in range(8)}


def test_a_chain_that_grows_while_it_is_verified_holds(postgres, open_database):
    engine = open_database(postgres)
    ledger.heads.metadata.create_all(engine)
    found, is_done = [], Event()

    def write():
        while not is_done.is_set():
            with engine.begin() as connection:
                ledger.append_all(connection, [draft(1)])

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            while len(found) < 100 or found[-1][0] == found[0][0]:
                with engine.connect() as connection:
                    found.append(ledger.verify(connection, "default"))
                assert not writing.done()
        finally:
            is_done.set()
        writing.result()
    assert [breaks for _, _, breaks in found if breaks] == []
    assert [head.seq for _, head, _ in found] == [lines for lines, _, _ in found]


@given(st.lists(texts, min_size=2, max_size=4), texts, st.integers(1), st.sampled_from(["", "ab"]))
def test_the_two_halves_of_a_line_are_what_is_hashed(content, text, seq, previous):
    body = canonical({"said": text})
    before, after = split_link(tuple(content), body)
    whole = f'{before}{seq}{after}{previous}"]'
    assert json.loads(whole) == [content[0], seq, *content[1:], body, previous]
    hashed = hash_link((content[0], seq, *content[1:]), body, previous)
    assert hashlib.sha256(whole.encode()).hexdigest() == hashed
