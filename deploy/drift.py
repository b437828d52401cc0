"""`make drift`: holds every open case of the engine against the record, and heals what differs (HEAL=1).

Whichever of the two was restored from an older copy, the other one still knows what happened. A record that is
behind is healed from the engine's histories; a case that is behind follows the record; a case that the engine has
lost is started again from the record, and one that fails at every step begins its run again. Nothing is decided
anew, so nobody is told twice.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import uuid
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import Engine, or_
from sqlmodel import col, select
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.record import RecordAhead, RecordGap, recalled
from deploy import running
from deploy.heal import NotHealed, heal
from domain.case import Case
from infra import database, temporal
from infra.settings import Settings
from infra.tables import CaseRow
from infra.temporal import workflow_id
from infra.timeline import digest, folded
from workflows import messages

ASK_SECONDS = 10
OPEN = f"WorkflowType = '{messages.CASE_WORKFLOW}' AND ExecutionStatus = 'Running'"
WELL = ("agrees", "catching up")
console = Console(stderr=True)


@dataclass(frozen=True)
class Finding:
    """How one case stands in the engine and on record."""

    case_id: str
    tenant: str
    state: str
    engine: int | None
    record: int | None
    done: str = ""


def judge(live: messages.Live | None, kept: Case | None) -> str:
    """In a word, how a case of the engine and the same case on record stand to each other."""
    if live is None:
        return "does not answer"
    if live.case is None or kept is None:
        return "agrees" if live.case is kept else "behind" if kept is None else "ahead"
    if live.unrecorded and kept.seq == live.case.seq - live.unrecorded:
        return "catching up"
    if live.case.seq != kept.seq:
        return "behind" if kept.seq < live.case.seq else "ahead"
    return "agrees" if digest(live.case) == digest(kept) else "differs"


class Comparison:
    """The engine, the record, and whether what differs is put right."""

    def __init__(self, client: Client, engine: Engine, settings: Settings, mend: bool, over_gap: bool) -> None:
        self.client, self.engine, self.settings = client, engine, settings
        self.mend, self.over_gap = mend, over_gap

    async def run(self) -> list[Finding]:
        """Compare all open cases; mend if asked to."""
        running = {w.id async for w in self.client.list_workflows(OPEN)}
        on_record = self._on_record()
        findings = []
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("Comparing cases", total=len(running) + len(on_record))
            for name in sorted(running):
                findings.append(await self.compare(name))
                progress.advance(task)
            for case_id, tenant in on_record:
                if workflow_id(tenant, case_id) not in running:
                    findings.append(await self.lost(case_id, tenant))
                progress.advance(task)
        return findings

    def _on_record(self) -> list[tuple[str, str]]:
        """The cases that must be running: all that are not sealed, as far as the record knows."""
        with self.engine.connect() as connection:
            alive = or_(col(CaseRow.wakes_at).is_not(None), col(CaseRow.status) == "open")
            rows = connection.execute(select(CaseRow.id, CaseRow.tenant).where(alive))
            return [(row.id, row.tenant) for row in rows]

    async def compare(self, name: str) -> Finding:
        """One running case against the record. What differs is looked at twice: a case at work moves on."""
        found = await self._look(name)
        if found.engine is not None and found.state not in WELL:
            found = await self._look(name)
        if not self.mend or found.state in WELL:
            return found
        try:
            return await self._mended(found, name)
        except (RPCError, RecordAhead, RecordGap) as fault:
            return replace(found, done=f"not mended: {type(fault).__name__}")

    async def _look(self, name: str) -> Finding:
        tenant, case_id = name.removeprefix("case-").rsplit("-", 1)
        live, kept = await self._live(name), self._kept(case_id)
        seqs = (live.case.seq if live and live.case else None, kept.seq if kept else None)
        return Finding(case_id, tenant, judge(live, kept), *seqs)

    async def _live(self, name: str) -> messages.Live | None:
        handle: Any = self.client.get_workflow_handle(name)
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await messages.ask(handle, messages.LIVE, messages.Live)
        except messages.SILENT:
            return None

    def _kept(self, case_id: str) -> Case | None:
        with self.engine.connect() as connection:
            return folded(connection, case_id)

    async def _mended(self, found: Finding, name: str) -> Finding:
        done = ""
        if found.state == "behind":
            try:
                added = await heal(self.client, self.engine, name, found.tenant, found.case_id, self.over_gap)
                done = f"{added} entries added to the record"
            except NotHealed as fault:
                done = str(fault)
        elif found.state == "does not answer":
            done = await self._begin_run_again(name)
        elif found.state in ("ahead", "differs"):
            await self.client.get_workflow_handle(name).signal(messages.FOLLOW_RECORD)
            done = "the case follows the record"
        return replace(found, done=done)

    async def _begin_run_again(self, name: str) -> str:
        """Take a run back to its beginning: a release that should not have run has written what none can follow.

        What had been decided since is on record, and the case follows it; what was queued is queued again. A case
        whose last task did not fail only waits for a worker, and is left alone.
        """
        handle = self.client.get_workflow_handle(name)
        events = (await handle.fetch_history()).events
        done, failed = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
        tasks = [event for event in events if event.event_type in (done, failed)]
        first = next((event.event_id for event in tasks if event.event_type == done), None)
        if first is None or tasks[-1].event_type == done:
            return ""
        request = ResetWorkflowExecutionRequest(
            namespace=self.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=name),
            workflow_task_finish_event_id=first,
            reason="a run that no release can follow",
            request_id=uuid.uuid4().hex,
        )
        await self.client.workflow_service.reset_workflow_execution(request)
        return "begun again; the case follows the record"

    async def lost(self, case_id: str, tenant: str) -> Finding:
        """A case that the record has and the engine does not run."""
        kept = self._kept(case_id)
        found = Finding(case_id, tenant, "not in the engine", None, kept.seq if kept else None)
        if not self.mend or kept is None:
            return found
        with self.engine.connect() as connection:
            known = recalled(connection, case_id)
        life = messages.Life(
            tenant=tenant,
            case_id=case_id,
            history_events=self.settings.history_events,
            case=kept,
            outcomes=known.outcomes,
            wake_at=known.wake_at,
            loop=messages.LOOP,
        )
        with contextlib.suppress(WorkflowAlreadyStartedError):  # it was opened while we looked
            await self.client.start_workflow(
                messages.CASE_WORKFLOW,
                life,
                id=workflow_id(tenant, case_id),
                task_queue=self.settings.task_queue,
                task_timeout=messages.TASK_TIMEOUT,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            )
        return replace(found, done="started again from the record")


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
    details = Table("case", "state", "engine at", "record at", "done")
    for f in odd[:200]:
        details.add_row(f.case_id, f.state, str(f.engine or "-"), str(f.record or "-"), f.done)
    console.print(details)
    return int(not all(finding.done for finding in odd))


async def main(mend: bool, over_gap: bool) -> int:
    settings = running.settings()
    engine = database.blocking(settings.database)
    client = await temporal.connect(settings)
    try:
        return show(await Comparison(client, engine, settings, mend, over_gap).run())
    finally:
        engine.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heal", action="store_true", help="put right what differs")
    parser.add_argument("--over-gap", action="store_true", help="go on where entries are lost on both sides")
    given = parser.parse_args()
    code = asyncio.run(main(given.heal, given.over_gap))
    sys.stderr.flush()
    os._exit(code)  # the SDK can crash an interpreter that is shutting down (temporalio/sdk-python#300)
