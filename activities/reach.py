"""How activities reach a case's workflow: by signals, which begin the case again where the engine has lost it."""

import asyncio
from typing import Any

import structlog
from temporalio.client import Client

from domain.case.command import Envelope
from domain.case.event import Position
from infra.settings import Settings
from infra.temporal import workflow_id
from workflows import messages

log = structlog.get_logger()
SECONDS = 1.5


class Reach:
    """Holds the engine's client and what a run begins with."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self.client, self._settings = client, settings

    def handle(self, tenant: str, case_id: str) -> Any:
        """The workflow of a case."""
        return self.client.get_workflow_handle(workflow_id(tenant, case_id))

    async def wake(self, tenant: str, case_id: str, known: Position, signal: str, *about: Envelope) -> bool:
        """Send a signal; whether the engine took it. `known` is how far the case is on record.

        Each stays in the case's history, which holds a limited number: a case that does not answer is not to be
        sent one every minute.
        """
        life = messages.Life(
            tenant=tenant, case_id=case_id, history_events=self._settings.history_events, known=known
        )
        name, queue = workflow_id(tenant, case_id), self._settings.task_queue
        try:
            async with asyncio.timeout(SECONDS):
                await messages.wake(self.client, name, queue, life, signal, *about)
        except messages.UNKNOWN as fault:
            log.warning("not_reached", case_id=case_id, signal=signal, fault=type(fault).__name__)
            return False
        return True
