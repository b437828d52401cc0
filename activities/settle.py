"""Settles one message of a case: decides it and writes what happened, in one go."""

import asyncio
from typing import Literal

from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity

from activities.decide import Deciding, Question, taken_up
from activities.record import Message, RecordAhead, RecordGap, Recording
from domain.command import Decision
from domain.record import Page
from domain.tick import Tick

WRITE_SECONDS = 2.5
Written = Literal["yes", "no", "later", "ahead"]


class Settled(Decision):
    """A decision, and whether the record has it.

    `no` where it did not answer, `later` where the case has something to add first, `ahead` where the record has
    something else in its place.
    """

    written: Written


class Settling:
    """Decides with the rules in force, and writes where the record answers."""

    def __init__(self, deciding: Deciding, recording: Recording) -> None:
        self._deciding, self._recording = deciding, recording

    @activity.defn(name="settle")
    async def settle(self, question: Question) -> Settled:
        """Decide a message and record it. A record that does not answer keeps nobody from deciding."""
        question = taken_up(question)
        decision = await self._deciding.decide(question)
        written = await self._write(question, decision)
        return Settled(**dict(decision), written=written)

    async def _write(self, question: Question, decision: Decision) -> Written:
        if decision.outcome.status == "failed":
            return "later"
        if question.page is None:
            return "no"
        page = page_of(question, decision)
        if page.empty:
            return "yes"
        message = Message(tenant=question.tenant, case_id=question.case_id, page=page, by=question.by)
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._recording.record(message)
        except RecordAhead:
            return "ahead"
        except (RecordGap, SQLAlchemyError, OSError):  # TimeoutError is an OSError
            return "no"
        return "yes"


def page_of(question: Question, decision: Decision) -> Page:
    """What the record is told: what it did not have before, and what this message brought about."""
    page, _ = (question.page or Page()).followed(question.case, decision.entries)
    return page if decision.outcome.kind == Tick.kind else page.answered(decision.outcome)
