"""The parts of a population's file, as they are received: reduced to what is needed, dealt out, and sealed."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from sqlalchemy import Connection, delete, insert, update
from sqlmodel import col

from api.problems import Refusal, responses
from api.screenings import LineIssue, ScreeningId, not_receiving, of_id
from api.system import PrincipalDep, SystemDep
from domain.programs.mapping import ColumnMapping
from exchange import csv_population
from exchange.fhir_population import Said, Unread, reduced
from infra import row_places
from infra.encryption import KeyRing
from infra.screening_tables import BlockRow, PartRow, ScreeningRow

router = APIRouter(tags=["case finding"])
PartNumber = Annotated[int, Path(ge=1, le=10_000)]
PART_LIMIT = 16 * 1024 * 1024
SHARDS = 128  # of 100,000 people some eight hundred stand in each
MOST_ISSUES, MOST_UNREAD = 20, 10_000
REFUSALS = responses(401, 403, 404, 409, 413, 422, 503)
READING = asyncio.Semaphore(2)  # parts that are read at once
NO_TEXT = (b"\x1f\x8b", b"PK", b"\xff\xfe", b"\xfe\xff")  # gzip, zip, UTF-16


class PartAnswer(BaseModel):
    part: int
    lines: int
    kept: int = Field(description="Lines that a rule or a person's record can use")
    unread: int
    issues: list[LineIssue]


@router.put("/screenings/{screening_id}/parts/{part}", responses=REFUSALS, max_body_size=PART_LIMIT)
async def send_part(
    screening_id: ScreeningId, part: PartNumber, request: Request, parts: SystemDep, who: PrincipalDep
) -> PartAnswer:
    """One part of the file, of whole lines: FHIR R4 resources, one a line, or CSV with its head, by the mapping.

    Parts come in any order, and the resources of one person may stand in several. Sent again, a part replaces what
    was received under its number. A line that cannot be read is left out and told.
    """
    screening = await of_id(parts, who, screening_id)
    if screening.status != "receiving":
        raise not_receiving(screening.status)
    mapping = parts.rulebook.mapping(screening.mapping) if screening.mapping else None
    body = await request.body()
    if body.startswith(NO_TEXT):
        raise Refusal(422, "NotThisFile", "send plain text in UTF-8: not packed, and in no other encoding")
    async with READING:
        try:
            row, blocks = await asyncio.to_thread(_received, parts.keys, screening_id, part, body, mapping)
        except csv_population.NotThisFile as fault:
            raise Refusal(422, "NotThisFile", str(fault)) from None

    def write(connection: Connection) -> None:
        own = (col(ScreeningRow.id) == screening_id, col(ScreeningRow.status) == "receiving")
        if not connection.execute(update(ScreeningRow).where(*own).values(touched_at=datetime.now(UTC))).rowcount:
            raise not_receiving("not receiving any more")
        for model in (BlockRow, PartRow):
            mine = (col(model.screening_id) == screening_id, col(model.part) == part)
            connection.execute(delete(model).where(*mine))
        connection.execute(insert(PartRow).values(row.model_dump()))
        if blocks:
            connection.execute(insert(BlockRow), blocks)

    await parts.written(write)
    return PartAnswer(**row.model_dump())


def _received(
    keys: KeyRing, screening_id: str, part: int, body: bytes, mapping: ColumnMapping | None
) -> tuple[PartRow, list[dict[str, Any]]]:
    """What a part says, dealt out into shards by whose it is, and sealed. Raises `NotThisFile`."""
    shards: dict[int, list[tuple[str, Said]]] = {}
    lines = kept = unread = 0
    issues: list[dict[str, Any]] = []
    for number, said in csv_population.rows(body, mapping) if mapping else _resources(body):
        lines += 1
        if isinstance(said, Unread):
            unread += 1
            if unread > MOST_UNREAD:
                raise csv_population.NotThisFile(f"more than {MOST_UNREAD} of its lines cannot be read")
            issues += [{"part": part, "line": number, "code": str(said)}] if len(issues) < MOST_ISSUES else []
            continue
        kept += bool(said)
        for whose, resource in said:
            shards.setdefault(_shard(whose), []).append((whose, resource))
    blocks = []
    for shard, people in shards.items():
        sealed = keys.encrypted(json.dumps(people).encode(), row_places.block(screening_id, shard, part))
        blocks.append({"screening_id": screening_id, "shard": shard, "part": part, "sealed": sealed})
    counts = {"lines": lines, "kept": kept, "unread": unread}
    return PartRow(screening_id=screening_id, part=part, issues=issues, **counts), blocks


def _resources(body: bytes) -> Iterator[tuple[int, list[tuple[str, Said]] | Unread]]:
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            try:
                found = reduced(line)
            except Unread as fault:
                yield number, fault
            else:
                yield number, [found] if found else []


def _shard(whose: str) -> int:
    return int.from_bytes(hashlib.sha256(whose.encode()).digest()[:4]) % SHARDS
