"""Heals a record that lacks what its case has: the engine's histories are replayed, and what they show is written.

A case's decisions stand in its workflow's history, which the engine keeps for its retention. Replaying decides
nothing; it only brings the entries and outcomes to light again, and those that the record lacks are added.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import Connection, Engine
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from activities.derived import rebuild_case
from activities.record import Message, RecordAhead, RecordGap, write
from activities.rows import add, snapshot
from domain.case import Case
from domain.command import Outcome
from domain.event import Entry
from domain.record import Page
from infra.tables import SnapshotRow
from infra.timeline import GAP, folded
from workflows import witness
from workflows.case import CaseWorkflow
from workflows.messages import Life


class NotHealed(Exception):
    """The histories do not reach back to where the record ends; the message says what is missing."""


async def histories(client: Client, workflow_id: str) -> AsyncIterator[WorkflowHistory]:
    """The histories of a case's runs, the newest first, as far back as the engine has them."""
    run_id: str | None = None
    while True:
        try:
            history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        except RPCError:
            return
        yield history
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            return


@dataclass(frozen=True)
class Missing:
    """What the record lacks of a case, and the oldest history that was read for it."""

    entries: list[Entry]
    outcomes: list[Outcome]
    oldest: WorkflowHistory


async def missing(client: Client, workflow_id: str, after: int) -> Missing:
    """What happened to a case from entry `after` on, read from its histories, oldest first."""
    entries: dict[int, Entry] = {}
    outcomes: dict[str, Outcome] = {}
    seen = _Seen()
    replayer = Replayer(
        workflows=[CaseWorkflow],
        data_converter=client.data_converter,
        namespace=client.namespace,
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    oldest: WorkflowHistory | None = None
    with witness.listening(seen.note):
        async for history in histories(client, workflow_id):
            seen.entries, seen.outcomes = {}, {}
            result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
            if result.replay_failure is not None:
                raise NotHealed("a history does not replay under this release; start the release it ran under")
            entries = {**seen.entries, **entries}
            outcomes = {**seen.outcomes, **outcomes}
            oldest = history
            if entries and min(entries) <= after:
                break
    if oldest is None:
        raise NotHealed("the engine has no history of this case")
    found = [entries[seq] for seq in sorted(entries) if seq >= after]
    if any(later.seq != earlier.seq + 1 for earlier, later in pairwise(found)):
        raise NotHealed("its histories have a hole; they were cut short")
    return Missing(found, list(outcomes.values()), oldest)


class _Seen:
    """What one history brings to light; what a case followed the record to replaces what it had decided."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.outcomes: dict[str, Outcome] = {}

    def note(self, _: str, what: Entry | Outcome) -> None:
        if isinstance(what, Entry):
            self.entries[what.seq] = what
        else:
            self.outcomes[what.command_id] = what


async def heal(
    client: Client, engine: Engine, workflow_id: str, tenant: str, case_id: str, over_gap: bool = False
) -> int:
    """Add what the record lacks of a case; return the number of entries added. Raises `NotHealed`.

    `over_gap` accepts that some are lost: the state that the oldest run began with is kept in their place.
    """
    with engine.begin() as connection:
        before = folded(connection, case_id)
    known = before.seq if before else 0
    lacking = await missing(client, workflow_id, known)
    entries = lacking.entries
    began_with = None
    if entries and entries[0].seq > known + 1:
        lost = f"entries {known + 1} to {entries[0].seq - 1}"
        if not over_gap:
            raise NotHealed(f"{lost} are in no history that the engine still has; GAP=1 goes on without them")
        before = began_with = await _began_with(client, lacking.oldest)
    with engine.begin() as connection:
        if began_with is not None:
            add(connection, SnapshotRow, [snapshot(began_with, GAP, entries[0].at)])
        _write(connection, Message(tenant=tenant, case_id=case_id, page=Page(), by="healed"), before, lacking)
        if began_with is not None:
            rebuild_case(connection, case_id)
    return sum(entry.seq > known for entry in entries)


async def _began_with(client: Client, history: WorkflowHistory) -> Case:
    """The case as a run found it."""
    given = history.events[0].workflow_execution_started_event_attributes.input.payloads
    [life] = await client.data_converter.decode(given, [Life])
    if life.case is None:
        raise NotHealed("its oldest history begins with the opening, and its entries are lost all the same")
    case: Case = life.case
    return case


def _write(connection: Connection, message: Message, case: Case | None, lacking: Missing) -> None:
    known = case.seq if case else 0
    there = tuple(entry for entry in lacking.entries if entry.seq <= known)  # only to be compared with the record
    page, _ = message.page.changed(entries=there).followed(case, lacking.entries[len(there) :])
    for outcome in lacking.outcomes:
        page = page.answered(outcome)
    if not page.empty:
        try:
            write(connection, message.changed(page=page))
        except (RecordAhead, RecordGap):
            raise NotHealed("the record has something else than its histories; look at its timeline") from None
