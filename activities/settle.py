"""Settles one message of a case: one transaction on the record, in which it is decided and written down.

The record decides. A message is on record exactly once or not at all: settled again, after a worker was lost or
an answer was, it finds its outcome there (docs/decisions/0017).
"""

import asyncio
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity

from activities import record
from activities.decide import Rules
from activities.rows import lock_case
from activities.states import States
from domain.case import Case
from domain.command import Decision, Envelope, Outcome
from domain.decide import wakes
from domain.event import Entry, Position
from domain.tick import Tick
from domain.values import Instant, Value
from infra.database import writers

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

    `over`: the case is sealed, or was never opened.
    """

    outcome: Outcome
    entries: tuple[Entry, ...] = ()
    known: Position
    wake_at: Instant | None = None
    rings_at: Instant | None = None
    over: bool = False
    case: Case | None = None


class RecordAway(Exception):
    """The record does not answer, or cannot be written to: nothing was decided. The text is the fault's type."""


@dataclass(frozen=True)
class _Result:
    settled: Settled
    before: Position
    case: Case | None
    fresh: bool


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
        """Settle one message. Raises `RecordAway`, `RecordBehind`, `RecordDiffers`, `ProgramMissing`."""
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
        if result.case is not None:
            self.states.follow(result.before, result.settled.known, result.case)
        return result

    def _settle(self, connection: Connection, message: Message) -> _Result:
        envelope, case_id = message.envelope, message.case_id
        lock_case(connection, case_id)
        before, outcome = record.look(connection, case_id, envelope.command_id)
        entries = record.news(connection, case_id, message.known, before)
        case = self.states.read(connection, case_id, before)
        if outcome is not None:
            decision = Decision(outcome=outcome, **(wakes(case, self.rules.spread) if case else {}))
            return _Result(_answer(message, decision, entries, before, case), before, case, fresh=False)
        decision = self.rules.decide(connection, envelope, case, message.now, message.again)
        after, at = self._write(connection, message, (case, before), decision)
        entries = (*entries, *decision.entries)
        return _Result(_answer(message, decision, entries, at, after), before, after, fresh=True)

    def _write(
        self,
        connection: Connection,
        message: Message,
        before: tuple[Case | None, Position],
        decision: Decision,
    ) -> tuple[Case | None, Position]:
        key = {"tenant": message.tenant, "case_id": message.case_id}
        return record.write(connection, self.states.keys, key, message.envelope, before, decision)


def _answer(
    message: Message, decision: Decision, entries: tuple[Entry, ...], at: Position, case: Case | None
) -> Settled:
    return Settled(
        outcome=decision.outcome,
        entries=entries,
        known=at,
        wake_at=decision.wake_at,
        rings_at=decision.rings_at,
        over=case is None or case.sealed,
        case=case if message.begins else None,
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
    ours = (entry for entry in settled.entries if entry.command_id == envelope.command_id)
    if missed := sum(entry.kind == "clock-missed" for entry in ours):
        meter.create_counter("caseloom_clocks_missed", "Promises not kept").add(missed)
