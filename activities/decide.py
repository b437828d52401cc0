"""Decides a message with the rules in force and the people of the directory. Writes nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from activities.same_person import open_cases_of_person
from domain.case.case import Case
from domain.case.command import (
    AT_ONCE,
    Decision,
    Envelope,
    Moment,
    OtherCaseNeeded,
    SamePersonNeeded,
    StaffNeeded,
    TimelineNeeded,
)
from domain.case.event import Timeline
from domain.decide import decide, set_aside
from domain.programs.rulebook import ProgramMissing, Rulebook
from domain.steps.intake import Open
from infra.directory import directory
from infra.erasure_tables import ErasureRow
from infra.logs import places
from infra.person_tables import PersonRow
from infra.persons import lock_persons

log = structlog.get_logger()
ReadCase = Callable[[str], Case | None]
ReadTimeline = Callable[[], Timeline]


def is_gone(connection: Connection, envelope: Envelope) -> bool:
    """Whether the person of an opening is being erased, or was. No erasure ends while this transaction lasts."""
    said: Any = envelope.body
    tenant, person_id = said.get("tenant"), said.get("referral", {}).get("patient", {}).get("reference")
    lock_persons(connection, tenant, shared=True)
    hers = (col(ErasureRow.tenant) == tenant, col(ErasureRow.person_id) == person_id)
    found = set(connection.execute(select(ErasureRow.status).where(*hers)).scalars())
    there = select(PersonRow.id).where(col(PersonRow.tenant) == tenant, col(PersonRow.id) == person_id)
    return "running" in found or ("done" in found and connection.execute(there).first() is None)


@dataclass(frozen=True)
class Rules:
    """The rulebook in force, and over how long promises of one second are spread."""

    rulebook: Rulebook
    spread: timedelta = AT_ONCE

    def decide(
        self,
        connection: Connection,
        envelope: Envelope,
        case: Case | None,
        now: datetime,
        again: int,
        other: ReadCase,
        recorded: ReadTimeline,
    ) -> Decision:
        """Decide one message. `other` reads another case of the tenant that the decision is about, and locks it;
        `recorded` reads what the record has of this one.

        A fault in a rule is an answer too: the message is set aside, and the case lives.
        Raises `ProgramMissing` where the catalogue lacks what the case runs under: then nothing can be decided.
        """
        try:
            return self._decide(connection, envelope, case, now, other, recorded)
        except (ProgramMissing, SQLAlchemyError, OSError):
            raise
        except Exception as fault:  # by its type's name and place; the message could hold personal data
            name = type(fault).__name__
            log.error(
                "rule_failed", command_id=envelope.command_id, kind=envelope.kind, fault=name, at=places(fault)
            )
            return set_aside(envelope, case, now, name, again)

    def _decide(
        self,
        connection: Connection,
        envelope: Envelope,
        case: Case | None,
        now: datetime,
        other: ReadCase,
        recorded: ReadTimeline,
    ) -> Decision:
        """Try without the directory, other cases and the timeline: most commands need none of them."""
        gone = case is None and envelope.kind == Open.kind and is_gone(connection, envelope)
        moment = Moment(now, self.rulebook, None, self.spread, person_gone=gone)
        while True:
            try:
                return decide(envelope, case, moment)
            except StaffNeeded:
                tenant = case.tenant if case else str(envelope.body.get("tenant"))
                cases = [c for c in (case, *moment.others.values()) if c is not None]
                staff = directory(connection, tenant, cases, envelope.body, envelope.actor.subject)
                moment = replace(moment, staff=staff)
            except SamePersonNeeded:
                moment = replace(moment, same_person=open_cases_of_person(connection, case) if case else ())
            except OtherCaseNeeded as needed:  # its people are not among those who were read yet
                others = {**moment.others, needed.case_id: other(needed.case_id)}
                moment = replace(moment, others=others, staff=None)
            except TimelineNeeded:
                moment = replace(moment, timeline=recorded())
