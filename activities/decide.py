"""Decides a message with the rules in force and the people of the directory. Writes nothing."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from activities.staff import directory
from domain.case import Case
from domain.command import AT_ONCE, Decision, Envelope, Moment, StaffNeeded
from domain.decide import decide, set_aside
from domain.rulebook import ProgramMissing, Rulebook
from infra.logs import places

log = structlog.get_logger()


@dataclass(frozen=True)
class Rules:
    """The rulebook in force, and over how long promises of one second are spread."""

    rulebook: Rulebook
    spread: timedelta = AT_ONCE

    def decide(
        self, connection: Connection, envelope: Envelope, case: Case | None, now: datetime, again: int
    ) -> Decision:
        """Decide one message. A fault in a rule is an answer too: the message is set aside, the case lives.

        Raises `ProgramMissing` where the catalogue lacks what the case runs under: then nothing can be decided.
        """
        try:
            return self._decide(connection, envelope, case, now)
        except (ProgramMissing, SQLAlchemyError, OSError):
            raise
        except Exception as fault:  # by its type's name and place; the message could hold personal data
            name = type(fault).__name__
            log.error(
                "rule_failed", command_id=envelope.command_id, kind=envelope.kind, fault=name, at=places(fault)
            )
            return set_aside(envelope, case, now, name, again)

    def _decide(self, connection: Connection, envelope: Envelope, case: Case | None, now: datetime) -> Decision:
        try:
            return decide(envelope, case, Moment(now, self.rulebook, None, self.spread))
        except StaffNeeded:
            tenant = case.tenant if case else str(envelope.body.get("tenant"))
            staff = directory(connection, tenant, case, envelope.body, envelope.actor.subject)
            return decide(envelope, case, Moment(now, self.rulebook, staff, self.spread))
