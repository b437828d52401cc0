"""Decides commands, outside the workflow: its history keeps the decision, and replay believes it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity

from activities.staff import directory
from domain.case import Case
from domain.command import AT_ONCE, Decision, Envelope, Moment, StaffNeeded
from domain.decide import decide, failed
from domain.record import Page
from domain.rulebook import Rulebook
from domain.staff import Directory
from domain.tick import Tick
from domain.values import Instant, Value
from infra.database import reading
from infra.logs import places

log = structlog.get_logger()
STAFF_UNREADABLE = "StaffUnreadable"
STAFF_SECONDS, READERS = 2, 4


class Question(Value):
    """A command, the case it meets and the workflow's time. `held` names a case that is laid ready instead.

    `page` is what the record does not have so far; None where it is not to be written now. `by` says which task
    of which run asks.
    """

    envelope: Envelope
    case: Case | None = None
    held: str | None = None
    now: Instant
    tenant: str = ""
    case_id: str = ""
    page: Page | None = None
    by: str = ""


class CaseNotHeld(Exception):
    """No case is laid ready under this name: the workflow lays it ready and asks again."""


_held: dict[str, Case] = {}


def hold(run_id: str, case: Case) -> None:
    """Lay a case ready for the decision that its workflow asks for next, in this process (decision 0011)."""
    _held[run_id] = case


class Deciding:
    """Holds what decisions need: the rulebook in force and the staff directory."""

    def __init__(self, rulebook: Rulebook, engine: Engine, spread: timedelta = AT_ONCE) -> None:
        self._rulebook, self._spread = rulebook, spread
        self._engine = reading(engine)
        self._threads = ThreadPoolExecutor(READERS, "directory")  # its own: who writes may wait for long

    @activity.defn(name="decide")
    async def decide(self, question: Question) -> Decision:
        """Decide one command. A fault in a rule is an answer too: the command is set aside, the case lives."""
        question = taken_up(question)
        envelope, case, now = question.envelope, question.case, question.now
        try:
            return decide(envelope, case, self._moment(now))
        except StaffNeeded:
            staff = await self._staff(envelope, case)
        except Exception as fault:
            return _set_aside(question, fault)
        if not staff.known and envelope.kind == Tick.kind:
            return failed(envelope, case, now, STAFF_UNREADABLE)  # a rung climbed now would tell nobody, for ever
        try:
            return decide(envelope, case, self._moment(now, staff))
        except Exception as fault:
            return _set_aside(question, fault)

    def _moment(self, now: datetime, staff: Directory | None = None) -> Moment:
        return Moment(now, self._rulebook, staff, self._spread)

    async def _staff(self, envelope: Envelope, case: Case | None) -> Directory:
        tenant = case.tenant if case else str(envelope.body.get("tenant"))
        try:
            async with asyncio.timeout(STAFF_SECONDS):
                sender = envelope.actor.subject
                reading_it = partial(directory, self._engine, tenant, case, envelope.body, sender)
                return await asyncio.get_running_loop().run_in_executor(self._threads, reading_it)
        except (SQLAlchemyError, OSError):  # TimeoutError is an OSError
            log.warning("staff_unreadable", command_id=envelope.command_id)
            return Directory(known=False)


def _set_aside(question: Question, fault: Exception) -> Decision:
    """A fault in a rule, by its type's name and place; the message could hold personal data."""
    envelope, name = question.envelope, type(fault).__name__
    log.error("rule_failed", command_id=envelope.command_id, kind=envelope.kind, fault=name, at=places(fault))
    return failed(envelope, question.case, question.now, name)


def taken_up(question: Question) -> Question:
    """The question with the case that was laid ready for it. Raises `CaseNotHeld`."""
    if question.held is None:
        return question
    if question.held not in _held:
        raise CaseNotHeld
    return question.changed(case=_held.pop(question.held), held=None)
