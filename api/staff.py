"""The staff directory, in which a rung finds its people, and the notices that found them."""

import uuid
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.assignment import handing_over
from api.bulk_actions import write_down
from api.commands import CaseId
from api.identity import called_in
from api.pages import Order, Page, PagingDep
from api.problems import BODY_LIMIT, Refusal, responses
from api.submission import carry_on
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.values import Instant, Line, Opaque, Role, Slug, YesNo
from infra import row_places
from infra.notice_tables import DeliveryRow, OutboxRow
from infra.tables import (
    SignOutRow,
    StaffRow,
)
from workflows import messages

router = APIRouter(tags=["staff"], max_body_size=BODY_LIMIT)
BY_SUBJECT = Order([col(StaffRow.subject)])
NEWEST_FIRST = Order([col(OutboxRow.created_at), col(OutboxRow.case_id), col(OutboxRow.key)], descending=True)


class StaffEntry(BaseModel):
    """One person of the directory."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    name: Line
    role: Role
    team: Slug | None = None
    supervisor: Opaque | None = None
    active: bool = True
    absent_until: Instant | None = None
    cover: Opaque | None = Field(default=None, description="Who is told while this person is away")
    licences: list[Slug] = Field(default=[], max_length=20)


class StaffView(StaffEntry):
    subject: str


class Receipt(BaseModel):
    """What became of a notice outside the house: pending, sent, bounced, dead, or why it was not sent."""

    model_config = ConfigDict(from_attributes=True)

    state: str
    sent_at: datetime | None
    times_sent: int
    tries: int
    fault: str | None


class NoticeView(BaseModel):
    """Something this person has to know of."""

    model_config = ConfigDict(from_attributes=True)

    case_id: str
    key: str
    subject: str
    about: str
    urgent: bool
    why: str | None = Field(default=None, description="What you are to it: owner, approver, cover …")
    created_at: datetime
    read_at: datetime | None
    delivery: Receipt | None = Field(default=None, description="What became of it outside this API")
    name: str | None = Field(default=None, description="By which the person is called, where one may see the case")


@router.put("/staff/{subject}", responses=responses(401, 403, 422))
async def put_staff(
    subject: Annotated[Opaque, Path()],
    entry: StaffEntry,
    parts: SystemDep,
    who: PrincipalDep,
    response: Response,
) -> StaffView:
    """Add a person to the directory, or change what it says of one.

    Of one who is made inactive all work goes to those above, by a bulk action that the header `Link` names.
    """
    if entry.role is Role.SYSTEM:
        raise Refusal(422, "Malformed", "nobody is hired as the system")
    await _require_own_team(parts, who, subject, entry)
    if entry.supervisor == subject:
        raise Refusal(422, "Malformed", "nobody is their own supervisor; leave supervisor empty")
    row = StaffRow(tenant=who.tenant, subject=subject, **entry.model_dump())
    row.name = parts.keys.encrypted_text(entry.name, row_places.staff(who.tenant, subject))
    action_id = uuid.uuid4().hex[:16]
    async with AsyncSession(parts.engine) as session:
        await session.merge(row)
        if not entry.active:  # together, so that nobody's work waits for somebody who has left
            connection = await session.connection()
            await connection.run_sync(write_down, parts.keys, who, handing_over(parts, who, subject), action_id)
        await session.commit()
    if not entry.active:
        name, pace = messages.bulk_action(action_id), handing_over(parts, who, subject).per_minute
        await carry_on(parts, messages.BULK_ACTION_WORKFLOW, name, action_id, pace)
        response.headers["Link"] = f'</bulk-actions/{action_id}>; rel="monitor"'
    return StaffView(subject=subject, **entry.model_dump())


@router.post("/staff/{subject}/sign-out", status_code=204, responses=responses(401, 403, 422))
async def sign_out(subject: Annotated[Opaque, Path()], parts: SystemDep, who: PrincipalDep) -> None:
    """Let no token of this person, or feed, that was issued until now sign in any more; within five seconds."""
    async with AsyncSession(parts.engine) as session:
        staff = await session.get(StaffRow, (who.tenant, subject))
        if who.role is not Role.DIRECTOR and (staff is None or staff.team not in who.teams):
            raise Refusal(403, "NotYourTeam", "a supervisor signs out people of his own teams; ask a director")
        await session.merge(SignOutRow(tenant=who.tenant, subject=subject, at=datetime.now(UTC), by=who.sub))
        await session.commit()


async def _require_own_team(parts: System, who: Principal, subject: str, entry: StaffEntry) -> None:
    """A supervisor keeps the entries of his own teams; who belongs to another, or to none, is a director's."""
    if who.role is Role.DIRECTOR:
        return
    if subject == who.sub or entry.role in (Role.SUPERVISOR, Role.DIRECTOR):
        raise Refusal(403, "NotPermitted", "your own entry and those of leads above are kept by a director")
    async with parts.session() as session:
        before = await session.get(StaffRow, (who.tenant, subject))
    teams = {entry.team} | ({before.team} if before is not None else set())
    if not teams <= set(who.teams):
        raise Refusal(403, "NotYourTeam", "a supervisor keeps his own teams' entries; ask a director")


@router.get("/staff", responses=responses(401, 403, 422))
async def list_staff(
    parts: SystemDep, who: PrincipalDep, page: PagingDep, team: Slug | None = None
) -> Page[StaffView]:
    """The directory of one's tenant, by subject."""
    query = select(StaffRow).where(StaffRow.tenant == who.tenant)
    if team is not None:
        query = query.where(StaffRow.team == team)
    async with parts.session() as session:
        rows = list((await session.exec(BY_SUBJECT.slice(query, page))).all())
    items = [_entry(parts, row) for row in rows[: page.limit]]
    return Page(items=items, next=BY_SUBJECT.cursor(items[-1].subject) if len(rows) > page.limit else None)


async def entry_of(parts: System, tenant: str, subject: str) -> StaffView | None:
    """Somebody's entry in the directory, or None where it has none."""
    async with parts.session() as session:
        row = await session.get(StaffRow, (tenant, subject))
    return _entry(parts, row) if row is not None else None


def _entry(parts: System, row: StaffRow) -> StaffView:
    name = parts.keys.decrypted_text(row.name, row_places.staff(row.tenant, row.subject))
    return StaffView.model_validate({**row.model_dump(exclude={"tenant"}), "name": name})


@router.get("/notices", responses=responses(401, 422))
async def list_notices(
    parts: SystemDep,
    who: PrincipalDep,
    page: PagingDep,
    unread: Annotated[YesNo, Query(description="Only those not marked as read")] = False,
) -> Page[NoticeView]:
    """One's own inbox, newest first."""
    query = select(OutboxRow).where(OutboxRow.tenant == who.tenant, OutboxRow.recipient == who.sub)
    if unread:
        query = query.where(col(OutboxRow.read_at).is_(None))
    async with parts.session() as session:
        rows = list((await session.exec(NEWEST_FIRST.slice(query, page))).all())
    items = await _with_receipts(parts, who, [_told(parts, row) for row in rows[: page.limit]])
    names = await called_in(parts, who, (item.case_id for item in items))
    items = [item.model_copy(update={"name": names.get(item.case_id)}) for item in items]
    last = items[-1] if len(rows) > page.limit else None
    return Page(items=items, next=NEWEST_FIRST.cursor(last.created_at, last.case_id, last.key) if last else None)


async def _with_receipts(parts: System, who: Principal, items: list[NoticeView]) -> list[NoticeView]:
    query = select(DeliveryRow).where(
        DeliveryRow.tenant == who.tenant,
        DeliveryRow.recipient == who.sub,
        col(DeliveryRow.case_id).in_({item.case_id for item in items}),
        col(DeliveryRow.key).in_({item.key for item in items}),
    )
    async with parts.session() as session:
        rows = {(row.case_id, row.key): row for row in (await session.exec(query)).all()}
    found = {at: Receipt.model_validate(row) for at, row in rows.items()}
    return [item.model_copy(update={"delivery": found.get((item.case_id, item.key))}) for item in items]


def _told(parts: System, row: OutboxRow) -> NoticeView:
    subject = parts.keys.decrypted_text(row.subject, row_places.notice(row.case_id, row.key))
    return NoticeView.model_validate(row).model_copy(update={"subject": subject})


@router.post("/notices/{case_id}/{key}/read", responses=responses(401, 404))
async def read_notice(case_id: CaseId, key: Slug, parts: SystemDep, who: PrincipalDep) -> NoticeView:
    """Mark a notice of one's own as read; doing it again changes nothing."""
    async with AsyncSession(parts.engine, expire_on_commit=False) as session:
        row = await session.get(OutboxRow, (case_id, key, who.sub))
        if row is None or row.tenant != who.tenant:
            raise Refusal(404, "NotFound", "there is no such notice in your inbox")
        row.read_at = row.read_at or datetime.now(UTC)
        view = _told(parts, row)
        await session.commit()
    return view
