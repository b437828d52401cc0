"""Takes out of the record and out of the engine what is known of a person, and leaves what shows that nothing else
is missing: the hashes of her timelines, who looked when, and a certificate (docs/decisions/0033)."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, or_, update
from sqlmodel import SQLModel, col, select
from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.rows import lock_case, table_of
from domain.case.command import ERASED, Outcome
from infra.encryption import KeyRing, derived_id
from infra.erasure_tables import ErasedCaseRow, ErasureRow
from infra.inbound_tables import InboundRow
from infra.item_tables import ItemRow
from infra.notice_tables import DeliveryRow, OutboxRow
from infra.person_tables import LikenessRow, PersonHistoryRow, PersonKeyRow, PersonRow, RefusedReferralRow
from infra.persons import Persons, one_person
from infra.screening_tables import ScreenedRow
from infra.scrubbing import scrub
from infra.subscription_tables import SubscriptionEventRow, SubscriptionRow
from infra.tables import (
    BulkItemRow,
    CaseRow,
    ClockRow,
    CommandRow,
    ContactRow,
    ProposalRow,
    QuarantineRow,
    QueuedRow,
    SnapshotRow,
    StateRow,
    TaskRow,
    TimelineRow,
    WakingRow,
)
from infra.temporal import workflow_id

OF_A_CASE: tuple[type[SQLModel], ...] = (
    *(StateRow, SnapshotRow, TaskRow, ClockRow, ItemRow, ContactRow, QueuedRow, QuarantineRow),
    *(OutboxRow, DeliveryRow, WakingRow, SubscriptionEventRow),
)
GONE: dict[str, Any] = {  # a fingerprint is a digest without a key, from which a short answer can be guessed
    **{"status": "refused", "error": ERASED, "detail": "this case was erased", "fingerprint": ""},
    **{"missing": (), "created": (), "events": ()},
}
Row = Any


class NotScrubbed(Exception):
    """What was deleted is still in the write-ahead log, which somebody was reading."""


class Erasing:
    """Holds the record with its keys, and the engine."""

    def __init__(self, engine: Engine, keys: KeyRing, index_key: bytes, client: Client) -> None:
        self._engine, self._keys, self._index_key, self._client = engine, keys, index_key, client

    @activity.defn(name="erase")
    async def erase(self, erasure_id: str) -> str:
        """Erase a person's closed cases, then what is known of her; return how the erasure stands then."""
        asked, cases = await asyncio.to_thread(self._cases, erasure_id)
        if asked is None or asked.status in ("asked", "withdrawn"):
            return asked.status if asked else "unknown"
        status = str(asked.status)
        if status == "running":
            for case in cases:
                activity.heartbeat()
                if case.sealed:
                    await self._forget(workflow_id(case.tenant, case.id))
                    await asyncio.to_thread(self._erase_case, asked, case.id)
            status = await asyncio.to_thread(self._finish, asked)
        await self._scrub()
        return status

    async def _scrub(self) -> None:
        """Raises `NotScrubbed`, to be tried again, where readers kept the write-ahead log."""
        scrubbing = asyncio.create_task(asyncio.to_thread(scrub, self._engine))
        while not scrubbing.done():
            activity.heartbeat()
            await asyncio.wait({scrubbing}, timeout=5)
        if not scrubbing.result():
            raise NotScrubbed

    def _cases(self, erasure_id: str) -> tuple[Row, list[Row]]:
        table = table_of(ErasureRow)
        with self._engine.connect() as connection:
            asked = connection.execute(table.select().where(table.c.id == erasure_id)).first()
            return asked, self._hers(connection, asked) if asked else []

    def _hers(self, connection: Connection, asked: Row) -> list[Row]:
        """The cases that are about her, under each id and reference by which they may name her."""
        store = Persons(connection, self._keys, self._index_key, asked.tenant)
        known = store.read(one_person(connection, asked.tenant, asked.person_id))
        names = {asked.person_id, *known}
        names |= {name for _, person in known.values() for name in store.references_of(person)}
        about = (col(CaseRow.tenant) == asked.tenant, col(CaseRow.person_id).in_(names))
        return list(connection.execute(table_of(CaseRow).select().where(*about).order_by(CaseRow.id)).all())

    async def _forget(self, name: str) -> None:
        """Have the engine delete the histories of a case whose runs are over."""
        async for run in self._client.list_workflows(f"WorkflowId = '{name}'"):
            request = DeleteWorkflowExecutionRequest(
                namespace=self._client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=name, run_id=run.run_id),
            )
            try:
                await self._client.workflow_service.delete_workflow_execution(request)
            except RPCError as fault:
                if fault.status != RPCStatusCode.NOT_FOUND:
                    raise

    def _erase_case(self, asked: Row, case_id: str) -> None:
        """In one transaction; a case that is at work is left as it is."""
        with self._engine.begin() as connection:
            lock_case(connection, case_id)
            table = table_of(CaseRow)
            case = connection.execute(table.select().where(table.c.id == case_id)).first()
            if case is None or not case.sealed:
                return
            first = select(func.min(TimelineRow.seq)).where(col(TimelineRow.case_id) == case_id)
            left = {"first": connection.execute(first).scalar_one(), "entries": case.seq, "head": case.head}
            taken = Counter({"timeline": _empty_timeline(connection, case.id), "cases": 1})
            for model in OF_A_CASE:
                table = table_of(model)
                gone = connection.execute(delete(table).where(table.c.case_id == case.id)).rowcount
                taken[str(model.__tablename__)] += gone
            taken["commands"] += _forget_outcomes(connection, case.id)
            connection.execute(update(BulkItemRow).where(col(BulkItemRow.case_id) == case.id).values(detail=None))
            connection.execute(delete(CaseRow).where(col(CaseRow.id) == case.id))
            left |= {"program": case.program, "opened_at": case.opened_at, "erased_at": datetime.now(UTC)}
            whose = {"case_id": case.id, "tenant": case.tenant, "erasure_id": asked.id}
            connection.execute(insert(ErasedCaseRow).values(**whose, **left))
            _count(connection, asked.id, taken)

    def _finish(self, asked: Row) -> str:
        """Erase the person if none of her cases is left, and write the certificate."""
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            store = Persons(connection, self._keys, self._index_key, asked.tenant)
            store.lock()
            status = "incomplete" if self._hers(connection, asked) else "done"
            if status == "done":
                ids = one_person(connection, asked.tenant, asked.person_id)
                told = self._told_of(store, ids)
                _count(connection, asked.id, told + _erase_person(connection, asked.tenant, ids))
            own = col(ErasureRow.id) == asked.id
            connection.execute(update(ErasureRow).where(own).values(status=status, finished_at=now))
            seal = self._keys.digest(certified(connection, asked.id))
            connection.execute(update(ErasureRow).where(own).values(seal=seal))
        return status

    def _told_of(self, store: Persons, ids: Iterable[str]) -> Counter[str]:
        """What was told of her and given to nobody yet: messages, proposals, findings, refused referrals."""
        connection, tenant, known = store.connection, store.tenant, [p for _, p in store.read(ids).values()]
        numbers = {f"{i.system}|{i.value}" for person in known for i in person.identifiers}
        references = {*ids, *numbers, *(name for person in known for name in store.references_of(person))}
        feeds = select(InboundRow.feed).where(col(InboundRow.tenant) == tenant).distinct()
        doors = [f"inbound/{tenant}/{feed}/of" for feed in connection.execute(feeds).scalars()]
        named = [f"{door}/{number}" for door in doors for number in numbers]
        asked = (
            (InboundRow, InboundRow.lane, named),
            (ProposalRow, ProposalRow.person_key, [f"{tenant}/proposals-about/{one}" for one in references]),
            (ScreenedRow, ScreenedRow.person_key, [f"{tenant}/screened/{one}" for one in references]),
            (RefusedReferralRow, RefusedReferralRow.person_key, [f"{tenant}/refused/{one}" for one in references]),
        )
        taken: Counter[str] = Counter()
        for model, column, names in asked:
            keys = [derived_id(self._index_key, name).hex for name in names]
            own = (table_of(model).c.tenant == tenant, col(column).in_(keys))
            taken[str(model.__tablename__)] += connection.execute(delete(table_of(model)).where(*own)).rowcount
        return taken


def certified(connection: Connection, erasure_id: str) -> dict[str, Any]:
    """What the certificate of an erasure says, and its seal is made over."""
    table, left = table_of(ErasureRow), table_of(ErasedCaseRow)
    asked = connection.execute(table.select().where(table.c.id == erasure_id)).mappings().one()
    mine = left.select().where(left.c.erasure_id == erasure_id).order_by(left.c.case_id)
    cases = connection.execute(mine).mappings().all()
    said = [{**asked, "seal": None}, *cases]
    return {"erasure": [{name: _plain(value) for name, value in one.items()} for one in said]}


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _empty_timeline(connection: Connection, case_id: str) -> int:
    """What happened goes; that something did, when, of what kind and by whom stays, for the chain of hashes."""
    mine = col(TimelineRow.case_id) == case_id
    return connection.execute(update(TimelineRow).where(mine).values(encrypted=None, data=None)).rowcount


def _forget_outcomes(connection: Connection, case_id: str) -> int:
    """A command that is sent again under its key hears that the case was erased, and begins no second one."""
    table = table_of(CommandRow)
    rows = connection.execute(table.select().where(table.c.case_id == case_id)).all()
    for row in rows:
        said = Outcome.model_validate(row.outcome).changed(**GONE).model_dump(mode="json")
        own = (table.c.case_id == case_id, table.c.command_id == row.command_id)
        gone = {"outcome": said, "status": GONE["status"], "fingerprint": GONE["fingerprint"]}
        connection.execute(update(table).where(*own).values(**gone))
    return len(rows)


def _erase_person(connection: Connection, tenant: str, ids: Iterable[str]) -> Counter[str]:
    """Her records, her look-ups, how she was known, and what was given to her of what feeds have sent."""
    ids = list(ids)
    taken: Counter[str] = Counter()
    for model in (PersonRow, PersonKeyRow, PersonHistoryRow, InboundRow, ScreenedRow, SubscriptionRow):
        table = table_of(model)
        whose = table.c.id if model is PersonRow else table.c.person_id
        gone = connection.execute(delete(table).where(table.c.tenant == tenant, whose.in_(ids))).rowcount
        taken[str(model.__tablename__)] += gone
    either = or_(col(LikenessRow.person_id).in_(ids), col(LikenessRow.other_id).in_(ids))
    gone = connection.execute(delete(LikenessRow).where(col(LikenessRow.tenant) == tenant, either)).rowcount
    return taken + Counter({"likenesses": gone})


def _count(connection: Connection, erasure_id: str, taken: Mapping[str, int]) -> None:
    own = col(ErasureRow.id) == erasure_id
    before = connection.execute(select(ErasureRow.rows).where(own)).scalar_one()
    together = Counter(before) + Counter(taken)
    connection.execute(update(ErasureRow).where(own).values(rows=dict(sorted(together.items()))))
