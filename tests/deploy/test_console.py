"""Ids in a table can be copied: out of a pipe, out of a log, and from a terminal of eighty columns."""

import io
import uuid

import pytest
from rich.console import Console
from rich.table import Table

from deploy import rebuild
from deploy.console import WIDE, console, id_column, ids


def test_what_is_no_terminal_is_wide_unless_somebody_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eighty columns of a terminal that is not there would cut every table."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert console().width == console(stderr=False).width == WIDE
    monkeypatch.setenv("COLUMNS", "70")
    assert console().width == 70


@pytest.mark.parametrize("width", [40, 80, 200])
def test_an_id_is_never_cut(width: int) -> None:
    """The words beside it give way."""
    known = [uuid.uuid4().hex for _ in range(3)]
    table = Table("check", "what to do", id_column("cases"), width=None)
    table.add_row("asleep", "see that a worker runs; then look whether the engine has lost them", ids(known))
    written = io.StringIO()
    Console(file=written, width=width).print(table)
    for one in known:
        assert one in written.getvalue()


def test_make_rebuild_names_the_cases_that_it_mended(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten of them whole, and how many there are besides."""
    known = [uuid.uuid4().hex for _ in range(12)]
    assert rebuild.show({"cases": known, "tasks": []}) == 1
    said = capsys.readouterr().err
    assert [one for one in known if one in said] == known[:10]
    assert "and 2 more" in said
