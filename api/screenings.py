"""Case finding: a population's file is received part by part, screened, and followed. Nothing opens by itself."""

import uuid
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import Connection, func, insert, update
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from api.cases import require_team
from api.headers import WishDep
from api.pages import Order, Page, PagingDep
from api.problems import BODY_LIMIT, Refusal, responses
from api.submission import carry_on, key_reused
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.case.case import Source
from domain.case.command import fingerprint_of
from domain.programs.policies import Tier
from domain.programs.program import Program
from domain.values import Day, Opaque, Role, Slug
from infra.screening_tables import BlockRow, PartRow, ScreenedRow, ScreeningRow
from infra.screenings import discard
from workflows import messages

router = APIRouter(tags=["case finding"], max_body_size=BODY_LIMIT)
ScreeningId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
MOST_SHOWN = 20
NEWEST_FIRST = Order([col(ScreeningRow.made_at), col(ScreeningRow.id)], descending=True)
REFUSALS = responses(401, 403, 404, 409, 422, 503)
EXAMPLE: dict[str, JsonValue] = {"program": "complex-care", "team": "north", "source": "payer"}


class NewScreening(BaseModel):
    """What is looked for, among whom."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    program: Slug
    team: Slug = Field(description="Whose leads decide on who is found")
    source: Source = Source.PAYER
    mapping: Slug | None = Field(
        default=None, description="What the columns of a CSV mean; without it FHIR R4 NDJSON"
    )
    tier: Tier | None = Field(
        default=None, description="The lowest that is proposed: the highest there is, unless given"
    )
    as_of: Day | None = Field(default=None, description="The day as of which the file is read; today unless given")


class LineIssue(BaseModel):
    """A line that was left out: where, and why. Nothing of what it says is repeated."""

    part: int
    line: int
    code: str


class ScreeningItem(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    program: Slug
    version: int
    team: Slug
    source: Source
    mapping: Slug | None
    tier: Tier
    as_of: datetime
    status: str = Field(description="`receiving`, `running`, `stopped`, `done` or `discarded`")
    made_by: Opaque
    made_at: datetime
    ended_at: datetime | None


class ScreeningView(ScreeningItem):
    """How far it is, and what was found so far."""

    parts: int
    lines: int
    unread: int
    issues: list[LineIssue] = Field(description="The first of the lines that were left out")
    shards: int = Field(description="Into how many shards its people are dealt out")
    shards_done: int
    people: dict[str, int] = Field(description="How many, by result")
    why: dict[str, int] = Field(description="Of those left out, incomplete or unreadable: how many, by reason")


@router.post("/screenings", status_code=201, responses=REFUSALS)
async def open_screening(new: NewScreening, parts: SystemDep, who: PrincipalDep, wish: WishDep) -> ScreeningView:
    """Begin to look for people whom a programme could help. Send the file's parts next, then `begin`."""
    _require_feed(who)
    now = datetime.now(UTC)
    program = parts.rulebook.latest(new.program, now)
    if new.mapping is not None:
        parts.rulebook.mapping(new.mapping)
    as_of = _moment(program, new.as_of, now)
    if who.role is Role.SUPERVISOR and new.team not in who.teams:
        raise Refusal(403, "NotYourTeam", "look for people for a team of your own, or have a director do it")
    await require_team(parts, who.tenant, new.team)
    name = f"{who.tenant}/{who.sub}/screening/{wish.key}"
    screening_id = (parts.derived_id(name) if wish.key else uuid.uuid4()).hex
    row = ScreeningRow(
        id=screening_id,
        tenant=who.tenant,
        made_by=who.sub,
        fingerprint=fingerprint_of("screening", new.model_dump(mode="json")),
        program=program.program,
        version=program.version,
        team=new.team,
        source=new.source,
        mapping=new.mapping,
        tier=_tier(program, new.tier),
        as_of=as_of,
        made_at=now,
        touched_at=now,
    )

    def write(connection: Connection) -> ScreeningRow:
        known = _row(connection, who, screening_id)
        if known is None:
            connection.execute(insert(ScreeningRow).values(row.model_dump()))
        return known or row

    if (await parts.written(write)).fingerprint != row.fingerprint:
        raise key_reused(screening_id)
    return await _view(parts, who, screening_id)


def _require_feed(who: Principal) -> None:
    if who.role is Role.INTEGRATOR and not who.feeds:
        raise Refusal(403, "NotPermitted", "an integrator needs the scope `feed` for this")


def _moment(program: Program, day: date | None, now: datetime) -> datetime:
    """The noon of the day in the programme's zone. Raises 422 for a day to come."""
    today = program.day_of(now)
    if day is None or day == today:
        return now
    if day > today:
        raise Refusal(422, "DayInTheFuture", "`as_of` is the day as of which the file is, and not one to come")
    return datetime(day.year, day.month, day.day, 12, tzinfo=program.zone).astimezone(UTC)


def _tier(program: Program, asked: Tier | None) -> str:
    """The lowest tier that is proposed. Raises 409 where the programme leaves it to judgement, 422 for no tier."""
    if program.stratification is None:
        raise Refusal(409, "NotInProgram", "this programme has no risk factors by which somebody could be found")
    tiers = [str(one.tier) for one in program.stratification.tiers]
    if asked is not None and asked not in tiers:
        raise Refusal(422, "UnknownTier", f"choose from: {', '.join(tiers)}")
    return str(asked or tiers[0])


@router.post("/screenings/{screening_id}/begin", status_code=202, responses=REFUSALS)
async def begin_screening(screening_id: ScreeningId, parts: SystemDep, who: PrincipalDep) -> ScreeningView:
    """All parts are there: screen them. One that was stopped goes on where it was."""
    await of_id(parts, who, screening_id)

    def write(connection: Connection) -> None:
        now = _row(connection, who, screening_id)
        if now is None or now.status == "discarded":
            raise not_receiving("discarded")
        if now.status not in ("receiving", "stopped"):
            return
        begun: dict[str, Any] = {"status": "running", "touched_at": datetime.now(UTC)}
        if now.status == "receiving":
            begun["shards"] = _left(connection, screening_id)
            if not begun["shards"]:
                detail = "nothing was received that could be read; send the file's parts"
                raise Refusal(409, "NothingReceived", detail)
        own = (col(ScreeningRow.id) == screening_id, col(ScreeningRow.status) == now.status)
        connection.execute(update(ScreeningRow).where(*own).values(**begun))

    await parts.written(write)
    await carry_on(parts, messages.SCREENING_WORKFLOW, messages.screening(screening_id), screening_id)
    return await _view(parts, who, screening_id)


@router.post("/screenings/{screening_id}/stop", responses=REFUSALS)
async def stop_screening(screening_id: ScreeningId, parts: SystemDep, who: PrincipalDep) -> ScreeningView:
    """Screen nobody more for now; `begin` goes on."""
    screening = await of_id(parts, who, screening_id)
    if screening.status not in ("running", "stopped"):
        raise Refusal(409, "NotRunning", f"the screening is {screening.status}")
    own = (col(ScreeningRow.id) == screening_id, col(ScreeningRow.status) == "running")
    stopped = update(ScreeningRow).where(*own).values(status="stopped", touched_at=datetime.now(UTC))
    await parts.written(lambda connection: connection.execute(stopped))
    return await _view(parts, who, screening_id)


@router.post("/screenings/{screening_id}/discard", responses=REFUSALS)
async def discard_screening(screening_id: ScreeningId, parts: SystemDep, who: PrincipalDep) -> ScreeningView:
    """Let go of what was received, and of everybody on whom nobody has decided. What was decided stays."""
    await of_id(parts, who, screening_id)

    def write(connection: Connection) -> None:
        if _row(connection, who, screening_id) is not None:
            discard(connection, screening_id, datetime.now(UTC))

    await parts.written(write)
    return await _view(parts, who, screening_id)


@router.get("/screenings", responses=responses(401, 403, 422, 503))
async def list_screenings(parts: SystemDep, who: PrincipalDep, page: PagingDep) -> Page[ScreeningItem]:
    """Those of one's teams, the newest first; a director's are all."""
    query = NEWEST_FIRST.slice(select(ScreeningRow).where(*within_reach(who)), page)
    async with parts.session() as session:
        rows = list((await session.exec(query)).all())
    items = [ScreeningItem.model_validate(row) for row in rows[: page.limit]]
    last = items[-1] if len(rows) > page.limit else None
    return Page(items=items, next=NEWEST_FIRST.cursor(last.made_at, last.id) if last else None)


@router.get("/screenings/{screening_id}", responses=responses(401, 403, 404, 503))
async def read_screening(screening_id: ScreeningId, parts: SystemDep, who: PrincipalDep) -> ScreeningView:
    """How far it is, and how many were found."""
    return await _view(parts, who, screening_id)


def within_reach(who: Principal) -> list[Any]:
    """The screenings of this person: of her teams, of the tenant for who reads all of it, her own for a feed."""
    mine = [col(ScreeningRow.tenant) == who.tenant]
    if who.role is Role.INTEGRATOR:
        return [*mine, col(ScreeningRow.made_by) == who.sub]
    if who.role in (Role.DIRECTOR, Role.AUDITOR):
        return mine
    return [*mine, col(ScreeningRow.team).in_(who.teams)]


def _row(connection: Connection, who: Principal, screening_id: str) -> ScreeningRow | None:
    found = connection.execute(
        select_columns(ScreeningRow).where(col(ScreeningRow.id) == screening_id, *within_reach(who))
    ).first()
    return ScreeningRow(**found._mapping) if found else None


async def of_id(parts: System, who: Principal, screening_id: str) -> ScreeningRow:
    """Raises 404 for one that is not within one's reach."""
    row = await parts.read(lambda connection: _row(connection, who, screening_id))
    if row is None:
        raise Refusal(404, "NotFound", "there is no such screening, or it is not of your teams")
    return row


def not_receiving(status: str) -> Refusal:
    return Refusal(409, "NotReceiving", f"the screening is {status}; make another one for another file")


def _left(connection: Connection, screening_id: str) -> int:
    shards = func.count(col(BlockRow.shard).distinct())
    return int(
        connection.execute(select_columns(shards).where(col(BlockRow.screening_id) == screening_id)).scalar() or 0
    )


async def _view(parts: System, who: Principal, screening_id: str) -> ScreeningView:
    row = await of_id(parts, who, screening_id)

    def read(connection: Connection) -> dict[str, Any]:
        received = connection.execute(
            select_columns(PartRow).where(col(PartRow.screening_id) == screening_id).order_by(col(PartRow.part))
        ).all()
        result, why = col(ScreenedRow.result), col(ScreenedRow.why)
        mine = col(ScreenedRow.screening_id) == screening_id
        counted: Any = connection.execute(
            select_columns(result, why, func.count()).where(mine).group_by(result, why)
        )
        people: dict[str, int] = {}
        reasons: dict[str, int] = {}
        for found, reason, number in counted:
            people[found] = people.get(found, 0) + number
            if reason is not None and found != "proposed":
                reasons[reason] = reasons.get(reason, 0) + number
        left = _left(connection, screening_id)
        return {
            **{"parts": len(received), "people": people, "why": reasons, "shards": row.shards},
            **{"lines": sum(part.lines for part in received), "unread": sum(part.unread for part in received)},
            "issues": [issue for part in received for issue in part.issues][:MOST_SHOWN],
            "shards_done": row.shards - left if row.shards else 0,
        }

    return ScreeningView(**ScreeningItem.model_validate(row).model_dump(), **await parts.read(read))
