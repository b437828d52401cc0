"""A tool without a system, or in a wrong folder, says so in a sentence, ends with 1, and changes nothing."""

import sqlite3
from pathlib import Path

import pytest

from tests.deploy.systems import tool

TOOLS = {
    "deploy.rebuild": (),
    "deploy.token": ("supervisor", "sup-1"),
    "deploy.demo": (),
    "infra.migrate": (),
    "deploy.drift": (),
    "deploy.doctor": (),
}
UNMIGRATED = "has no tables yet: run `make migrate`"


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("folder", ["empty", "none"])
def test_in_a_folder_of_no_system(tmp_path: Path, name: str, folder: str) -> None:
    """Which folder, and what to do; no traceback, no empty database, no new key."""
    (tmp_path / "empty").mkdir()
    found = tool(name, tmp_path / folder, *TOOLS[name], DATABASE_URL="")
    assert found.returncode == 1
    assert found.stdout == ""
    assert len(found.stderr.splitlines()) == 1
    assert str(tmp_path / folder) in found.stderr
    assert "make up" in found.stderr
    assert not list((tmp_path / "empty").iterdir())
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["deploy.rebuild", "infra.migrate"])
@pytest.mark.parametrize("url", ["postgresql://u:secret@127.0.0.1:1/x", "sqlite+aiosqlite:///{}/garbage.db"])
def test_a_record_that_does_not_answer(tmp_path: Path, name: str, url: str) -> None:
    """The database is away, or is none; its password is not repeated."""
    (tmp_path / "garbage.db").write_text("no database at all, whatever its name may say")
    found = tool(name, tmp_path, DATABASE_URL=url.format(tmp_path))
    assert found.returncode == 1
    assert len(found.stderr.splitlines()) == 1
    assert "the record" in found.stderr
    assert "secret" not in found.stderr


def test_a_record_without_tables_is_migrated_first(tmp_path: Path) -> None:
    """The sentence names the command; after it the tool works."""
    sqlite3.connect(tmp_path / "caseloom.db").close()
    (tmp_path / "caseloom.db").touch()
    found = tool("deploy.rebuild", tmp_path, DATABASE_URL="")
    assert found.returncode == 1
    assert found.stderr.strip().endswith(UNMIGRATED)
    assert tool("infra.migrate", tmp_path, DATABASE_URL="").returncode == 0
    assert tool("deploy.rebuild", tmp_path, DATABASE_URL="").returncode == 0
