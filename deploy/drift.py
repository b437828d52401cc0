"""`make drift`: holds every open case of the engine against the record, and heals what differs (HEAL=1).

The record decides, and a run may be a little behind it: its next message brings the rest. What is not well: a
record that was restored from an older copy lacks what its cases' runs were told, and is healed from the engine's
histories; a case that the engine has lost begins again from the record, and so does one that fails at every step
or has another past than the record. Nothing is decided anew, so nobody is told twice.
"""

import argparse
import asyncio
import os
import sys
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.progress import Progress
from rich.table import Table
from sqlalchemy import Engine
from sqlmodel import col, select
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.service import RPCError

from activities.queued import opened, undecided
from deploy import running
from deploy.console import console as shown
from deploy.console import id_column
from deploy.heal import Healing, NotHealed
from deploy.runs import begin_again
from domain.case.event import Position
from infra.encryption import ring_of
from infra.settings import Settings
from infra.tables import CaseRow, TimelineRow
from infra.temporal import workflow_id
from workflows import messages

ASK_SECONDS = 10
ALL = 100_000  # more than can wait undecided
OPEN = f"WorkflowType = '{messages.CASE_WORKFLOW}' AND ExecutionStatus = 'Running'"
WELL = ("agrees", "follows")
console = shown()


@dataclass(frozen=True)
class Finding:
    """How one case stands in the engine and on record."""

    case_id: str
    tenant: str
    state: str
    engine: int | None
    record: int | None
    done: str = ""


def judge(live: messages.Live | None, record: int, hash_there: str) -> str:
    """In a word, how a case's run stands to the record; `hash_there` is the record's of the run's last entry."""
    if live is None:
        return "does not answer"
    if live.seq > record:
        return "record behind"
    if live.head not in ("", hash_there):
        return "differs"
    return "agrees" if live.seq == record else "follows"


class Comparison:
    """The engine, the record, and whether what differs is put right."""

    def __init__(self, client: Client, engine: Engine, settings: Settings, mend: bool, over_gap: bool) -> None:
        self.client, self.engine, self.settings, self.mend = client, engine, settings, mend
        self.healing = Healing(client, engine, ring_of(settings), over_gap)

    async def run(self) -> list[Finding]:
        """Compare all open cases; mend if asked to, and send again what was answered 202 and is not decided."""
        if self.mend:
            await self.send_again()
        on_record = self._on_record()
        running = {w.id async for w in self.client.list_workflows(OPEN)}
        findings = []
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("Comparing cases", total=len(running) + len(on_record))
            for name in sorted(running):
                findings.append(await self.compare(name))
                progress.advance(task)
            gone = [
                (case_id, tenant) for case_id, tenant in on_record if workflow_id(tenant, case_id) not in running
            ]
            sealed = set(gone) - set(self._on_record())  # while we looked
            for case_id, tenant in gone:
                if (case_id, tenant) not in sealed:
                    findings.append(await self.lost(case_id, tenant))
            progress.update(task, completed=len(running) + len(on_record))
        return findings

    async def send_again(self) -> None:
        """A case decides each once, however often it is sent."""
        with self.engine.begin() as connection:
            rows = undecided(connection, datetime.now(UTC), ALL, timedelta())
        for row in rows:
            if (envelope := opened(self.healing.keys, row)) is not None:
                name, life = workflow_id(row.tenant, row.case_id), self._life(row.case_id, row.tenant)
                queue = self.settings.task_queue
                await messages.wake(self.client, name, queue, life, messages.SUBMIT_LATER, envelope)

    def _on_record(self) -> list[tuple[str, str]]:
        """The cases that must be running: all that are not sealed, as far as the record knows."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(CaseRow.id, CaseRow.tenant).where(~col(CaseRow.sealed)))
            return [(row.id, row.tenant) for row in rows]

    async def compare(self, name: str) -> Finding:
        """One running case against the record. What differs is looked at twice: a case at work moves on."""
        found = await self._look(name)
        if found.engine is not None and found.state not in WELL:
            found = await self._look(name)
        if not self.mend or found.state in WELL:
            return found
        try:
            return replace(found, done=await self._mended(found, name))
        except (RPCError, NotHealed) as fault:
            return replace(found, done=str(fault) if isinstance(fault, NotHealed) else "not mended: RPCError")

    async def _look(self, name: str) -> Finding:
        tenant, case_id = name.removeprefix("case-").rsplit("-", 1)
        live = await self._live(name)
        record, hash_there = self._kept(case_id, live.seq if live else 0)
        return Finding(case_id, tenant, judge(live, record, hash_there), live.seq if live else None, record)

    async def _live(self, name: str) -> messages.Live | None:
        handle: Any = self.client.get_workflow_handle(name)
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await messages.ask(handle, messages.LIVE, messages.Live)
        except messages.SILENT:
            return None

    def _kept(self, case_id: str, at: int) -> tuple[int, str]:
        """The number of the last entry on record, and the hash of the one with number `at`."""
        there = (col(TimelineRow.case_id) == case_id, col(TimelineRow.seq) == at)
        with self.engine.connect() as connection:
            last = connection.execute(select(CaseRow.seq).where(col(CaseRow.id) == case_id)).scalar()
            found = connection.execute(select(TimelineRow.hash).where(*there)).scalar()
        return last or 0, found or ""

    async def _mended(self, found: Finding, name: str) -> str:
        if found.state == "record behind":
            added, gap = await self.healing.heal(name, found.tenant, found.case_id)
            if gap:  # the record has another past now than the run knows
                await self._begin_again(found, name)
            return f"{added} entries added to the record"
        if found.state == "does not answer" and not await self._fails(name):
            return ""
        await self._begin_again(found, name)
        return "begun again from the record"

    async def _fails(self, name: str) -> bool:
        """Whether its last task failed: a case whose worker is only away is left alone."""
        events = (await self.client.get_workflow_handle(name).fetch_history()).events
        ended = (EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)
        last = [event.event_type for event in events if event.event_type in ended][-1:]
        return last == [EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]

    async def _begin_again(self, found: Finding, name: str) -> None:
        life = self._life(found.case_id, found.tenant)
        await begin_again(self.client, self.engine, name, self.settings.task_queue, life)

    def _life(self, case_id: str, tenant: str) -> messages.Life:
        with self.engine.connect() as connection:
            mine = select(CaseRow.seq, CaseRow.head).where(col(CaseRow.id) == case_id)
            row = connection.execute(mine).first()
        return messages.Life(
            tenant=tenant,
            case_id=case_id,
            history_events=self.settings.history_events,
            known=Position(seq=row.seq, head=row.head) if row else Position(),
        )

    async def lost(self, case_id: str, tenant: str) -> Finding:
        """A case that the record has and the engine does not run."""
        life = self._life(case_id, tenant)
        found = Finding(case_id, tenant, "not in the engine", None, life.known.seq)
        if not self.mend:
            return found
        name, queue = workflow_id(tenant, case_id), self.settings.task_queue
        await messages.wake(self.client, name, queue, life, messages.RING)
        return replace(found, done="begun again from the record")


def show(findings: list[Finding]) -> int:
    """The counts, and every case that is not well; 1 when there is one that nobody mended."""
    counts = Counter(finding.state for finding in findings)
    table = Table("state", "cases")
    for state, number in counts.most_common():
        table.add_row(state, str(number), style="" if state in WELL else "red")
    console.print(table)
    odd = [finding for finding in findings if finding.state not in WELL]
    if not odd:
        return 0
    details = Table(id_column("case"), "state", "engine at", "record at", "done")
    for f in odd[:200]:
        details.add_row(f.case_id, f.state, str(f.engine or "-"), str(f.record or "-"), f.done)
    console.print(details)
    return int(not all(finding.done for finding in odd))


async def main(mend: bool, over_gap: bool) -> int:
    settings = running.settings()
    with running.record(settings) as engine:
        client = await running.engine(settings)
        return show(await Comparison(client, engine, settings, mend, over_gap).run())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heal", action="store_true", help="put right what differs")
    parser.add_argument("--over-gap", action="store_true", help="go on where entries are lost on both sides")
    given = parser.parse_args()
    code = asyncio.run(main(given.heal, given.over_gap))
    sys.stderr.flush()
    os._exit(code)  # the SDK can crash an interpreter that is shutting down (temporalio/sdk-python#300)
