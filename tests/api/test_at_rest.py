"""What people write stands in clear nowhere on disk: not in a row, not in the file, not in a log line."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import SQLModel

from domain.commands import FROM_PEOPLE
from tests.office import Office

CANARY = "Kanarienvogel"


def marked(part: Any, numbers: Iterator[int]) -> Any:
    """The same with a canary in every text that a person writes; ids, codes, days and words of process stay."""
    if isinstance(part, dict):
        return {name: marked(value, numbers) for name, value in part.items()}
    if isinstance(part, list):
        return [marked(value, numbers) for value in part]
    free = isinstance(part, str) and " " in part.strip()
    return f"{CANARY} {next(numbers)}" if free else part


def as_bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


async def in_clear(office: Office) -> dict[str, list[str]]:
    """By table the columns in which a canary can be read."""
    found: dict[str, list[str]] = {}
    async with office.parts.engine.connect() as connection:
        for table in SQLModel.metadata.tables:
            for row in (await connection.execute(text(f'SELECT * FROM "{table}"'))).mappings():
                said = {
                    k: bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for k, v in row.items()
                }
                if bad := [name for name, value in said.items() if CANARY.encode() in value]:
                    found.setdefault(table, bad)
    return found


async def test_what_people_write_can_be_read_in_no_row_no_file_and_no_log(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command with a canary in each of its free texts, applied or refused; people, staff, bulk actions."""
    numbers = itertools.count()
    case_id = await office.open(
        person={"names": [{"given": [CANARY], "family": "Canary"}], "birth_date": "1950"}, is_new=True
    )
    await office.walk(case_id)
    applied = set()
    for command in sorted(FROM_PEOPLE, key=lambda c: c.kind == "report-death"):  # it ends the case
        path = f"/cases/{case_id}/commands/{command.kind}"
        answer = await office.post("sup-1", path, marked(command.example, numbers))
        assert answer.status_code in (200, 403, 404, 409, 422), (command.kind, answer.text)
        applied |= {command.kind} if answer.status_code == 200 else set()
    assert len(applied) > 20, applied
    await office.do(case_id, "add-note", "sup-1", text=f"{CANARY} was seen")
    cora = {"name": f"Cora {CANARY}", "role": "case-manager", "team": "north"}
    await office.http.put("/staff/cm-cora", json=cora, headers=office.sign_in("dir-1"))
    said = {"owner": "cm-anna", "to": "cm-ben", "reason": f"{CANARY} is ill"}
    assert (await office.post("sup-1", "/caseload/reassign", said)).status_code < 300
    assert await in_clear(office) == {}
    shown = capsys.readouterr()
    assert CANARY not in shown.out + shown.err
    if office.parts.engine.dialect.name == "sqlite":
        folder = office.parts.settings.data_dir
        assert [p.name for p in folder.iterdir() if p.is_file() and CANARY.encode() in p.read_bytes()] == []
    names = {row["name"] for row in (await office.get("dir-1", "/staff")).json()["items"]}
    assert f"Cora {CANARY}" in names
