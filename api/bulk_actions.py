"""One command to each of many cases: begun once by its key, carried on whatever dies, told case by case."""

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import ColumnElement, Connection, func, insert, update
from sqlalchemy import select as select_columns
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from api.pages import Order, Page, PagingDep
from api.problems import BODY_LIMIT, Refusal, responses
from api.submission import carry_on, key_reused
from api.system import Principal, PrincipalDep, System, SystemDep
from domain.case.command import fingerprint_of
from domain.values import Role
from infra import row_places
from infra.encryption import KeyRing
from infra.tables import BulkActionRow, BulkItemRow, CaseRow
from workflows import messages

router = APIRouter(tags=["bulk actions"], max_body_size=BODY_LIMIT)
ActionId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
BY_CASE = Order([col(BulkItemRow.case_id)])
SEE = (Role.SENIOR, Role.SUPERVISOR, Role.DIRECTOR, Role.AUDITOR)


@dataclass(frozen=True)
class Wanted:
    """A command, the cases that it is for, the request for it, and how many cases are asked in a minute."""

    command: str
    body: dict[str, JsonValue]
    cases: list[ColumnElement[bool]]
    request: dict[str, JsonValue]
    to_lightest: bool = False
    per_minute: int = 600

    @property
    def fingerprint(self) -> str:
        """Tells whether a repeated key carries the same request."""
        return fingerprint_of(self.command, self.request)


class BulkActionView(BaseModel):
    """How a bulk action stands. The cases that refused are told by `/bulk-actions/{id}/cases?status=refused`."""

    id: str
    command: str
    status: str = Field(description="`running`, `stopped` or `done`")
    created_at: datetime
    waiting: int
    applied: int
    refused: int
    failed: int


class BulkItem(BaseModel):
    """What became of one case."""

    model_config = ConfigDict(from_attributes=True)

    case_id: str
    status: str
    chosen: str | None = Field(description="Who got the case, where each goes to whoever carries least")
    code: str | None
    detail: str | None


async def begin(
    parts: System, who: Principal, wanted: Wanted, key: str | None, response: Response
) -> BulkActionView:
    """Write the list of cases down and begin; the same key begins it once. Answers 202 with its place.

    Raises 422 for a key that was used for another request.
    """
    name = f"{who.tenant}/{who.sub}/{wanted.command}/{key}"
    action_id = (parts.derived_id(name) if key else uuid.uuid4()).hex[:16]
    try:
        async with parts.engine.begin() as connection:
            await connection.run_sync(write_down, parts.keys, who, wanted, action_id)
    except IntegrityError:  # the same request, sent twice at once, was quicker
        pass
    async with parts.session() as session:
        row = await session.get(BulkActionRow, action_id)
    if row is None or row.fingerprint != wanted.fingerprint:
        raise key_reused(action_id)
    name = messages.bulk_action(action_id)
    await carry_on(parts, messages.BULK_ACTION_WORKFLOW, name, action_id, wanted.per_minute)
    response.status_code = 202
    response.headers["Location"] = f"/bulk-actions/{action_id}"
    return await _view(parts, who, action_id)


def write_down(connection: Connection, keys: KeyRing, who: Principal, wanted: Wanted, action_id: str) -> None:
    """The action and the cases that it is for now. Written again it changes nothing."""
    now = datetime.now(UTC)
    known = connection.execute(select(BulkActionRow.id).where(col(BulkActionRow.id) == action_id)).first()
    if known is not None:
        return
    action = {
        "id": action_id,
        "tenant": who.tenant,
        "command": wanted.command,
        "body": {"encrypted": keys.encrypted_text(json.dumps(wanted.body), row_places.bulk_action(action_id))},
        "fingerprint": wanted.fingerprint,
        "actor": who.sub,
        "actor_role": who.role,
        "to_lightest": wanted.to_lightest,
        "per_minute": wanted.per_minute,
        "status": "running",
        "created_at": now,
        "touched_at": now,
    }
    connection.execute(insert(BulkActionRow), [action])
    mine = select_columns(col(CaseRow.id)).where(col(CaseRow.tenant) == who.tenant, *wanted.cases)
    ids = connection.execute(mine).scalars().all()
    row = {"action_id": action_id, "tenant": who.tenant, "status": "waiting"}
    if ids:
        connection.execute(insert(BulkItemRow), [{**row, "case_id": case_id} for case_id in ids])


@router.get("/bulk-actions/{action_id}", responses=responses(401, 403, 404, 503))
async def read_bulk_action(action_id: ActionId, parts: SystemDep, who: PrincipalDep) -> BulkActionView:
    """How far it is."""
    return await _view(parts, who, action_id)


@router.get("/bulk-actions/{action_id}/cases", responses=responses(401, 403, 404, 422, 503))
async def read_bulk_items(
    action_id: ActionId,
    parts: SystemDep,
    who: PrincipalDep,
    page: PagingDep,
    status: Annotated[str | None, Query(pattern="^(waiting|applied|refused|failed)$")] = None,
) -> Page[BulkItem]:
    """Case by case what became of it, with the reasons of those that refused."""
    await _view(parts, who, action_id)
    query = select(BulkItemRow).where(BulkItemRow.action_id == action_id, BulkItemRow.tenant == who.tenant)
    if status is not None:
        query = query.where(BulkItemRow.status == status)
    async with parts.session() as session:
        rows = list((await session.exec(BY_CASE.slice(query, page))).all())
    items = [BulkItem.model_validate(row) for row in rows[: page.limit]]
    return Page(items=items, next=BY_CASE.cursor(items[-1].case_id) if len(rows) > page.limit else None)


@router.post("/bulk-actions/{action_id}/stop", responses=responses(401, 403, 404, 503))
async def stop_bulk_action(action_id: ActionId, parts: SystemDep, who: PrincipalDep) -> BulkActionView:
    """Ask no more cases. What was done stays done, and can be undone case by case."""
    mine = (col(BulkActionRow.id) == action_id, col(BulkActionRow.tenant) == who.tenant)
    async with parts.engine.begin() as connection:
        running = (*mine, col(BulkActionRow.status) == "running")
        await connection.execute(update(BulkActionRow).where(*running).values(status="stopped"))
    return await _view(parts, who, action_id)


async def _view(parts: System, who: Principal, action_id: str) -> BulkActionView:
    counting: Any = (
        select_columns(col(BulkItemRow.status), func.count())
        .where(col(BulkItemRow.action_id) == action_id)
        .group_by(col(BulkItemRow.status))
    )
    async with parts.session() as session:
        row = await session.get(BulkActionRow, action_id)
        counts: dict[str, int] = dict((await (await session.connection()).execute(counting)).all())
    if row is None or row.tenant != who.tenant:
        raise Refusal(404, "NotFound", "there is no such bulk action")
    numbers = {name: counts.get(name, 0) for name in ("waiting", "applied", "refused", "failed")}
    return BulkActionView(id=row.id, command=row.command, status=row.status, created_at=row.created_at, **numbers)
