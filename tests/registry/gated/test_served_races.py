"""Promotions over HTTP: on two servers at one moment, and on servers that are killed meanwhile."""

import signal
from collections import deque
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from itertools import count

import pytest
from served_shop import REST, ServedShop
from servers import Server, free_port, gated_server, running
from together import together

pytestmark = pytest.mark.slow
NUMBERS = range(1, 201)
"""Of the promotions that are sent."""
UNTIL_THE_KILL = 80
CLIENTS = 8
VERSIONS = 5
ROUNDS = 15
MANY = 400
"""Rounds after which a race that MLflow loses in half of them was lost for certain."""


@pytest.fixture(scope="module")
def single(empty_store, tmp_path_factory):
    """One gated server on SQLite, and a shop at it."""
    folder = tmp_path_factory.mktemp("single")
    database = folder / "mlflow.db"
    database.write_bytes(empty_store.read_bytes())
    with running(gated_server(folder, f"sqlite:///{database}")) as servers:
        yield servers, open_shops(servers, folder)


@pytest.fixture(scope="module")
def pair(postgres_server, postgres_template, tmp_path_factory):
    """Two gated servers on one PostgreSQL, and a shop at each."""
    folder = tmp_path_factory.mktemp("pair")
    with (
        postgres_server.database(postgres_template) as database,
        running(*(gated_server(folder, database) for _ in range(2))) as servers,
    ):
        yield servers, open_shops(servers, folder)


@pytest.fixture(params=["single", "pair"])
def served(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def plain_pair(postgres_store, tmp_path):
    """Two servers of plain MLflow on one PostgreSQL."""
    stores = ("--backend-store-uri", postgres_store)
    files = ("--artifacts-destination", tmp_path / "artifacts")
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    pair = [Server(tmp_path, free_port(), *stores, *files, **quiet) for _ in range(2)]
    with running(*pair) as servers:
        yield open_shops(servers, tmp_path)


def open_shops(servers, folder):
    return [ServedShop(server.url, folder) for server in servers]


def add_judged_model(shop, versions):
    """Register a model whose versions all have the evidence that Production asks for."""
    model = shop.add_model()
    for _ in range(versions - 1):
        shop.add_version(model)
    for version in range(1, versions + 1):
        assert shop.judge(version, model)[0] == 200
    return model


def move(shop, model, version, stage="Production"):
    body = {"name": model, "version": str(version), "stage": stage}
    body["archive_existing_versions"] = stage == "Production"
    status, answer = shop.call(f"{REST[0]}/model-versions/transition-stage", body)
    assert status == 200, answer
    return answer


def stages_of(shop, model):
    found = shop.client.search_model_versions(f"name='{model}'")
    return {int(version.version): version.current_stage for version in found}


def race(shops, model):
    """Promote version 1 on one server and 2 on the other at one moment; who is in Production?"""
    moves = [partial(move, shop, model, version) for version, shop in enumerate(shops, 1)]
    assert together(*moves) == []
    stages = stages_of(shops[0], model)
    return [version for version in sorted(stages) if stages[version] == "Production"]


def test_two_servers_of_plain_mlflow_leave_two_versions_in_production(plain_pair):
    model = plain_pair[0].add_model()
    plain_pair[0].add_version(model)
    for _ in range(MANY):
        winners = race(plain_pair, model)
        if len(winners) == 2:
            break
        for version in (1, 2):
            move(plain_pair[0], model, version, "Archived")
    assert winners == [1, 2]


def test_two_gated_servers_leave_one(pair):
    _, shops = pair
    model = add_judged_model(shops[0], 2)
    for _ in range(ROUNDS):
        [winner] = race(shops, model)
        assert shops[1].client.get_model_version_by_alias(model, "champion").version == str(winner)
        move(shops[1], model, winner, "Archived")
    assert check(shops[1], model) == []


def test_no_promotion_is_half_done_after_a_kill(served):
    """SIGKILL in the middle of many promotions: what was answered stays, the rest can be sent."""
    servers, shops = served
    model = add_judged_model(shops[0], VERSIONS)
    waiting, answered = deque(NUMBERS), {}

    promote_all(shops, model, waiting, answered, partial(kill, servers))
    assert len(waiting) >= CLIENTS - 1, "nothing was under way"
    start_again(servers)
    assert len(check(shops[0], model, answered)) == 1

    promote_all(shops, model, waiting, answered)
    assert sorted(answered) == list(NUMBERS)
    assert len(check(shops[-1], model, answered)) == 1


def kill(servers):
    for server in servers:
        server.end(signal.SIGKILL)


def start_again(servers):
    for server in servers:
        server.launch()
    for server in servers:
        server.wait_until_healthy()


def promote_all(shops, model, waiting, answered, kill=lambda: None):
    """Let several clients send what is waiting; *kill* is called in their midst."""
    answers = count(len(answered) + 1)

    def work(shop):
        while number := take(waiting):
            try:
                answered[number] = promote(shop, model, number)
            except (OSError, HTTPException):  # the server is gone
                waiting.append(number)
                break
            if next(answers) == UNTIL_THE_KILL:
                kill()

    clients = [partial(work, shops[client % len(shops)]) for client in range(CLIENTS)]
    assert together(*clients) == []


def take(waiting):
    """Take one of what is waiting; None when nothing is left."""
    with suppress(IndexError):
        return waiting.popleft()


def promote(shop, model, number):
    """Promote a version in one of the three ways that lead to Production."""
    version = number % VERSIONS + 1
    if number % 3 == 0:
        return move(shop, model, version)
    if number % 3 == 1:
        alias = {"name": model, "alias": "champion", "version": str(version)}
        status, answer = shop.call(f"{REST[1]}/registered-models/alias", alias)
    else:
        asked = {"model": model, "version": version, "to": "Production"}
        status, answer = shop.tell("promote", **asked, reason=reason_of(number))
    assert status == 200, answer
    return answer


def reason_of(number):
    return f"promotion {number}"


def check(shop, model, answered=None):
    """See that stages and aliases are what the ledger tells; return who is in Production."""
    _, audit = shop.ask("audit/verify")
    assert audit["problems"] == []
    assert audit["rows"] == audit["head"]["seq"]
    steps = shop.ask("history", model=model)[1]["transitions"]
    found = stages_of(shop, model)
    told = dict.fromkeys(found, "None")
    for step in steps:
        assert step["from_stage"] == told[step["version"]]
        told[step["version"]] = step["to_stage"]
    assert told == found
    holders = [version for version, stage in found.items() if stage == "Production"]
    aliases = shop.client.get_registered_model(model).aliases
    assert [int(version) for version in aliases.values()] == holders
    moved = [number for number, answer in (answered or {}).items() if answer.get("transition")]
    assert {reason_of(number) for number in moved} <= {step["reason"] for step in steps}
    return holders
