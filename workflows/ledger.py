"""What the record has still to be told of one case, and how it is told: never in the way of a command."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.record import Message, Recall, Recalled, RecordAhead, Recording, earlier_task
    from domain.case import Case
    from domain.command import Envelope, Outcome
    from domain.event import Entry
    from domain.record import Page
    from workflows.messages import Life

FAIL_FAST = RetryPolicy(maximum_attempts=1)
NEVER_GIVE_UP = RetryPolicy(
    maximum_interval=timedelta(seconds=10), non_retryable_error_types=[RecordAhead.__name__]
)


class Ledger:
    """The page of a running case. `ahead` says that the record has something else in the page's place."""

    def __init__(self, life: Life) -> None:
        self.life, self.page, self.ahead = life, life.page, False
        self.kept = {envelope.command_id: envelope for envelope in life.kept}
        self._catching_up: asyncio.Task[None] | None = None

    @property
    def writes_now(self) -> Page | None:
        """What a message that is settled now should write as well; None while the record is caught up with."""
        return self.page if self._catching_up is None else None

    def told(self, before: Case | None, entry: Entry) -> None:
        self.page, _ = self.page.followed(before, [entry])

    def answered(self, envelope: Envelope, outcome: Outcome) -> None:
        """Keep a command with its outcome until the record has it: it may have to be decided again."""
        self.page = self.page.answered(outcome)
        self.kept[envelope.command_id] = envelope

    def on_record(self) -> None:
        """All of it is written."""
        self.page, self.kept = Page(), {}

    def _written(self, page: Page) -> None:
        self.page = self.page.without(page)
        for outcome in page.outcomes:
            self.kept.pop(outcome.command_id, None)

    def this_task(self) -> str:
        """Which task of which case is at work: its first run, and how much history it has had in all."""
        info = workflow.info()
        return f"{info.first_execution_run_id}/{self.life.before + info.get_current_history_length()}"

    def lost_task(self, written_by: str) -> bool:
        """Whether an earlier try of this case's own task wrote this. What comes from later than now does not:
        the engine was set back.
        """
        return earlier_task(written_by, self.this_task())

    def agreed(self, case: Case | None) -> int:
        """The number of the last entry that the record had as this run knows it."""
        if self.page.entries:
            return self.page.entries[0].seq - 1
        return case.seq if case else 0

    async def write(self) -> None:
        """Write what is left; when the database does not answer, go on and let it be caught up with.

        It may be written before history has the decision. A workflow task that is lost then decides again,
        finds other entries in its place, and follows the record (decision 0012).
        """
        if self.page.empty or self._catching_up is not None or self.ahead:
            return
        page = self.page
        try:
            await self._write(page)
        except FailureError as fault:
            self.ahead = _says_ahead(fault)
            self.catch_up_if_behind()
        else:
            self._written(page)

    async def _write(self, page: Page) -> None:
        """Try once, in this process. Runs that began under the first release go on as they began."""
        if self.life.loop == 1:
            await workflow.execute_activity_method(
                Recording.record,
                self._message(page),
                schedule_to_close_timeout=timedelta(seconds=10),
                start_to_close_timeout=timedelta(seconds=5),
                retry_policy=FAIL_FAST,
            )
            return
        await workflow.execute_local_activity_method(
            Recording.record,
            self._message(page),
            start_to_close_timeout=timedelta(seconds=5),
            retry_policy=FAIL_FAST,
        )

    def catch_up_if_behind(self) -> None:
        if not self.page.empty and self._catching_up is None and not self.ahead:
            self._catching_up = asyncio.create_task(self._catch_up())

    def leave_off(self) -> None:
        """The run ends; the next one catches up."""
        if self._catching_up is not None:
            self._catching_up.cancel()

    async def _catch_up(self) -> None:
        while not self.page.empty and not self.ahead:
            page = self.page
            try:
                await workflow.execute_activity_method(
                    Recording.record,
                    self._message(page, decided=True),
                    start_to_close_timeout=timedelta(seconds=30),
                    retry_policy=NEVER_GIVE_UP,
                )
            except FailureError as fault:
                if not _says_ahead(fault):  # cancelled
                    raise
                self.ahead = True
            else:
                self._written(page)
        self._catching_up = None

    async def recall(self, command_ids: tuple[str, ...], since: int) -> Recalled:
        """The case as the record has it; the page is dropped, for the record knows better."""
        recalled = await workflow.execute_activity_method(
            Recording.recall,
            Recall(case_id=self.life.case_id, command_ids=command_ids, since=since),
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=NEVER_GIVE_UP,
        )
        self.page, self.kept, self.ahead = Page(), {}, False
        return recalled

    def _message(self, page: Page, decided: bool = False) -> Message:
        mine = {"tenant": self.life.tenant, "case_id": self.life.case_id}
        return Message(**mine, page=page, by=self.this_task(), decided=decided)


def _says_ahead(fault: FailureError) -> bool:
    """Whether the record refused a page because it has something else in its place."""
    cause: BaseException | None = fault
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    return cause is not None and cause.type == RecordAhead.__name__
