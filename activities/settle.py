"""Settles one message of a case: one transaction on the record, in which it is decided and written down.

The record decides. A message is on record exactly once or not at all: settled again, after a worker was lost or
an answer was, it finds its outcome there (docs/decisions/0017).
"""

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity

from activities import record
from activities.decide import Rules
from activities.record import Standing
from activities.rows import lock_case
from activities.states import States
from domain.addressees.telling import PeopleTold
from domain.case.case import Case
from domain.case.command import Decision, Envelope, Outcome
from domain.case.event import Entry, Position
from domain.decide import wakes
from domain.tick import Tick
from domain.values import Instant, Opaque, Value
from infra.database import writers
from infra.timeline import timeline_of

log = structlog.get_logger()


class Message(Value):
    """What a case's run asks to be settled, at its own time `now`, and how far it knows the timeline.

    `again` is how often this tick has failed in a row. `begins` says that it is the run's first message: its
    answer carries the case, so that the engine's histories can bring back a record that is lost.
    """

    tenant: str
    case_id: str
    envelope: Envelope
    now: Instant
    known: Position
    again: int = 0
    begins: bool = False


class Settled(Value):
    """The outcome, what the record has that the run did not know of, and when the case asks to be woken.

    `over`: the case is sealed, or was never opened. `others` are cases in which something happened as well.
    """

    outcome: Outcome
    entries: tuple[Entry, ...] = ()
    known: Position
    wake_at: Instant | None = None
    rings_at: Instant | None = None
    over: bool = False
    case: Case | None = None
    others: tuple[Opaque, ...] = ()


class RecordAway(Exception):
    """The record does not answer, or cannot be written to: nothing was decided. The text is the fault's type."""


@dataclass(frozen=True)
class _Result:
    """What was settled, whether just now, and each case that it changed as it was and as it is."""

    settled: Settled
    fresh: bool
    changed: tuple[tuple[Standing, Standing], ...]


class Settling:
    """Holds the record, the rules in force, and the cases settled lately."""

    def __init__(self, engine: Engine, rules: Rules, states: States) -> None:
        self._engine, self.rules, self.states = engine, rules, states
        self._threads = writers(engine)

    def close(self) -> None:
        """Wait for what is being written; a connection is not given up in the middle of it."""
        self._threads.shutdown()

    @activity.defn(name="settle")
    async def settle(self, message: Message) -> Settled:
        """Settle one message.

        Raises `RecordAway`, `RecordBehind`, `RecordDiffers`, `RecordAltered`, `ProgramMissing`.
        """
        result = await asyncio.get_running_loop().run_in_executor(self._threads, self._in_one_go, message)
        if result.fresh:
            _say(message, result.settled)
        return result.settled

    def _in_one_go(self, message: Message) -> _Result:
        try:
            with self._engine.begin() as connection:
                result = self._settle(connection, message)
        except (SQLAlchemyError, OSError) as fault:
            raise RecordAway(type(fault).__name__) from None
        for before, after in result.changed:
            self.states.follow(before, after)
        return result

    def _settle(self, connection: Connection, message: Message) -> _Result:
        lock_case(connection, message.case_id)
        at, outcome = record.look(connection, message.case_id, message.envelope.command_id)
        news = record.news(connection, self.states.keys, message.case_id, message.known, at)
        here = self.states.read(connection, message.case_id, at)
        if outcome is not None:
            decision = Decision(outcome=outcome, **(wakes(here.case, self.rules.spread) if here.case else {}))
            return _Result(_answer(message, decision, news, here), False, ((here, here),))
        decision, changed = self._decide(connection, message, here)
        after = changed[0][1]
        return _Result(_answer(message, decision, (*news, *decision.entries), after), True, changed)

    def _decide(
        self, connection: Connection, message: Message, here: Standing
    ) -> tuple[Decision, tuple[tuple[Standing, Standing], ...]]:
        """Decide and write, here and in the other cases that the message is about."""
        others: dict[str, Standing] = {}
        other = partial(self._other, connection, message.tenant, others)
        envelope, now = message.envelope, message.now
        recorded = partial(timeline_of, connection, self.states.keys, message.case_id)
        decision = self.rules.decide(connection, envelope, here.case, now, message.again, other, recorded)
        key, keys = {"tenant": message.tenant, "case_id": message.case_id}, self.states.keys
        changed = [(here, record.write(connection, keys, key, envelope, here, decision))]
        for told in decision.elsewhere:
            there, of_it = others[told.case_id], {**key, "case_id": told.case_id}
            changed.append((there, record.write_entries(connection, keys, of_it, there, told.entries)))
        return decision, tuple(changed)

    def _other(
        self, connection: Connection, tenant: str, others: dict[str, Standing], case_id: str
    ) -> Case | None:
        """Another case of the tenant, locked; two who lock each other's give up, and are tried again."""
        lock_case(connection, case_id)
        at, _ = record.look(connection, case_id, "")
        others[case_id] = self.states.read(connection, case_id, at)
        case = others[case_id].case
        return case if case is not None and case.tenant == tenant else None


def _answer(message: Message, decision: Decision, entries: tuple[Entry, ...], stands: Standing) -> Settled:
    return Settled(
        outcome=decision.outcome,
        entries=entries,
        known=stands.at,
        wake_at=decision.wake_at,
        rings_at=decision.rings_at,
        over=stands.case is None or stands.case.sealed,
        case=stands.case if message.begins else None,
        others=tuple(told.case_id for told in decision.elsewhere),
    )


def _say(message: Message, settled: Settled) -> None:
    """Log and count what was decided, once and where it was decided."""
    outcome, envelope = settled.outcome, message.envelope
    if envelope.kind != Tick.kind or outcome.status != "applied":
        log.info(
            "command",
            case_id=message.case_id,
            command_id=envelope.command_id,
            actor=envelope.actor.subject,
            kind=outcome.kind,
            status=outcome.status,
            error=outcome.error,
        )
    if not activity.in_activity():
        return
    meter = activity.metric_meter()
    said = meter.with_additional_attributes({"kind": outcome.kind, "status": outcome.status})
    said.create_counter("caseloom_commands", "Commands by kind and outcome").add(1)
    ours = [entry for entry in settled.entries if entry.command_id == envelope.command_id]
    if missed := sum(entry.kind == "clock-missed" for entry in ours):
        meter.create_counter("caseloom_clocks_missed", "Promises not kept").add(missed)
    if lost := [subject for entry in ours if entry.kind == PeopleTold.kind for subject in _told_nobody(entry)]:
        log.warning("told_nobody", case_id=message.case_id, subjects=lost)
        meter.create_counter("caseloom_told_nobody", "Notices for which nobody was found").add(len(lost))


def _told_nobody(entry: Entry) -> list[str]:
    return [str(subject) for subject in PeopleTold.model_validate(entry.data).nobody]
