"""Heals a record that lacks what its case's run was told: the engine's histories have it, and it is written again.

What the record had decided stands in the workflow's history, which the engine keeps for its retention. Nothing is
decided anew; the entries and outcomes that the record lacks are added.
"""

from dataclasses import dataclass, field
from itertools import pairwise

from sqlalchemy import Connection, Engine
from sqlmodel import col, select
from temporalio.client import Client

from activities.derived import rebuild_case
from activities.record import Standing, write_entries
from activities.rows import add, command_row, lock_case, quarantine_row, snapshot
from deploy.runs import histories, sent, told
from domain.case.case import Case
from domain.case.command import Envelope, Outcome
from domain.case.event import Entry, Position
from infra.encryption import KeyRing
from infra.tables import CommandRow, QuarantineRow, SnapshotRow, TimelineRow
from infra.timeline import GAP, digest, folded, timeline_row


class NotHealed(Exception):
    """The histories do not reach back to where the record ends; the message says what is missing."""


@dataclass
class Known:
    """What the runs of a case were sent and told, and the oldest state that one of them was given."""

    entries: dict[int, Entry] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    envelopes: dict[str, Envelope] = field(default_factory=dict)
    oldest: Case | None = None

    def after(self, seq: int) -> list[Entry]:
        """The entries behind a number. Raises `NotHealed` where there is a hole between them."""
        found = [self.entries[number] for number in sorted(self.entries) if number > seq]
        if any(later.seq != earlier.seq + 1 for earlier, later in pairwise(found)):
            raise NotHealed("its histories have a hole; they were cut short")
        return found


async def known_to_engine(client: Client, name: str, since: int) -> Known:
    """What the engine still knows of a case, from its newest run back to the one that has entry `since`."""
    known = Known()
    async for history in histories(client, name):
        for settled in await told(client, history):
            known.outcomes.setdefault(settled.outcome.command_id, settled.outcome)
            known.oldest = settled.case or known.oldest
            for entry in settled.entries:
                known.entries.setdefault(entry.seq, entry)
        for envelope in await sent(client, history):
            known.envelopes.setdefault(envelope.command_id, envelope)
        if known.entries and min(known.entries) <= since:
            break
    if not known.entries:
        raise NotHealed("the engine has no history of this case")
    return known


class Healing:
    """Adds to the record of one case what the engine knows and the record does not."""

    def __init__(self, client: Client, engine: Engine, keys: KeyRing, over_gap: bool) -> None:
        self.client, self.engine, self.keys, self.over_gap = client, engine, keys, over_gap

    async def heal(self, name: str, tenant: str, case_id: str) -> tuple[int, bool]:
        """Return how many entries were added, and whether it was over a gap. Raises `NotHealed`.

        Going over a gap accepts that some are lost: a state that a run was given is kept in their place.
        """
        with self.engine.connect() as connection:
            at = _end(connection, case_id)
        known = await known_to_engine(self.client, name, at.seq)
        with self.engine.begin() as connection:
            lock_case(connection, case_id)
            return self._write(connection, {"tenant": tenant, "case_id": case_id}, known)

    def _write(self, connection: Connection, key: dict[str, str], known: Known) -> tuple[int, bool]:
        case_id = key["case_id"]
        there = Standing(folded(connection, self.keys, case_id), _end(connection, case_id))
        _same_past(connection, self.keys, key, known, there.at)
        entries, gap = known.after(there.at.seq), False
        if entries and entries[0].seq > there.at.seq + 1:
            there = self._over_gap(connection, known, f"entries {there.at.seq + 1} to {entries[0].seq - 1}")
            entries, gap = known.after(there.at.seq), True
        write_entries(connection, self.keys, key, there, entries)
        self._write_outcomes(connection, key, known, {entry.command_id: entry.actor.subject for entry in entries})
        if gap:
            rebuild_case(connection, self.keys, case_id)
        return len(entries), gap

    def _write_outcomes(
        self, connection: Connection, key: dict[str, str], known: Known, authors: dict[str, str]
    ) -> None:
        """What became of the commands, and those themselves that a fault of ours met."""
        missing = [o for o in known.outcomes.values() if not o.command_id.startswith("tick-")]
        asked = {**authors, **{name: envelope.actor.subject for name, envelope in known.envelopes.items()}}
        add(connection, CommandRow, [command_row(key, o, asked.get(o.command_id, "")) for o in missing])
        failed = [o for o in missing if o.status == "failed" and o.command_id in known.envelopes]
        rows = [quarantine_row(key, self.keys, known.envelopes[o.command_id], o) for o in failed]
        add(connection, QuarantineRow, rows)

    def _over_gap(self, connection: Connection, known: Known, lost: str) -> Standing:
        if not self.over_gap:
            raise NotHealed(f"{lost} are in no history that the engine still has; GAP=1 goes on without them")
        if known.oldest is None:
            raise NotHealed(f"{lost} are in no history, and no run was given the case as it was after them")
        add(connection, SnapshotRow, [snapshot(self.keys, known.oldest, GAP, known.oldest.opened_at)])
        return Standing(known.oldest, Position(seq=known.oldest.seq, head=digest(known.oldest)))


def _end(connection: Connection, case_id: str) -> Position:
    """Where the timeline of a case ends."""
    mine = select(TimelineRow.seq, TimelineRow.hash).where(col(TimelineRow.case_id) == case_id)
    row = connection.execute(mine.order_by(col(TimelineRow.seq).desc()).limit(1)).first()
    return Position(seq=row.seq, head=row.hash) if row else Position()


def _same_past(connection: Connection, keys: KeyRing, key: dict[str, str], known: Known, at: Position) -> None:
    """Raises `NotHealed` unless the last entry on record is the one that the case's run was told."""
    if (entry := known.entries.get(at.seq)) is None:
        return
    mine = (col(TimelineRow.case_id) == key["case_id"], col(TimelineRow.seq) == at.seq)
    previous = connection.execute(select(TimelineRow.previous).where(*mine)).scalar_one()
    if timeline_row(keys, key, entry, previous)["hash"] != at.head:
        raise NotHealed("the record has something else than its histories; look at its timeline")
