"""`make simulate PROGRAM=file`: plays a programme against scenario cases, on the real engine with time skipped.

It prints what would fall due, who would be told and when, if everybody did what the scenario says and then nobody
did anything. Nothing is published and no running system is touched.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.testing import WorkflowEnvironment

from deploy import moves
from deploy.console import console as shown
from deploy.running import NotHere
from deploy.stage import ANNA, stage
from domain.case.case import Case
from domain.case.command import Envelope, Outcome
from domain.clocks.budget import Budget, deadline
from domain.programs.program import Program
from domain.programs.rulebook import Rulebook
from domain.values import Role
from infra import catalog
from infra.encryption import KeyRing, ring_of
from infra.timeline import folded, states
from workflows import messages

TIMES = {"clock-missed": "[red]missed[/]", "rung-climbed": "[yellow]told[/]", "clock-rescheduled": "moved"}
AGE = timedelta(days=365 * 50)
ONE_DAY = timedelta(days=1)
SAY_SECONDS = 10.0
console, aside = shown(stderr=False), shown()


class Stuck(Exception):
    """A scenario could not be walked: the programme refused a step that it asks for."""


@dataclass
class Player:
    """One scenario's case on the engine."""

    environment: WorkflowEnvironment
    engine: AsyncEngine
    keys: KeyRing
    queue: str
    rulebook: Rulebook
    program: Program
    case_id: str

    @property
    def handle(self) -> Any:
        return self.environment.client.get_workflow_handle(f"case-simulation-{self.case_id}")

    async def open(self) -> None:
        """Open the case as a referral from primary care."""
        born = (datetime.now(UTC) - self._age()).date()
        patient = {"reference": "Patient/simulated", "birth_date": str(born)}
        body: dict[str, Any] = {
            "case_id": self.case_id,
            "tenant": "simulation",
            "program": self.program.program,
            "referral": {"source": "primary-care", "reason": "Simulation", "patient": patient},
            "owner": ANNA.subject,
            "team": "north",
        }
        if self.program.target_groups:
            body["target_group"] = next(iter(self.program.target_groups))
        opening = self._envelope("open", body)
        life = messages.Life(tenant="simulation", case_id=self.case_id, history_events=1000, opening=opening)
        await self.environment.client.start_workflow(
            messages.CASE_WORKFLOW, life, id=f"case-simulation-{self.case_id}", task_queue=self.queue
        )
        await self._send(opening)

    def _age(self) -> timedelta:
        """An age that the programme takes."""
        rules = self.program.eligibility
        if rules.maximum_age is not None and rules.maximum_age < 50:
            return timedelta(days=365 * rules.maximum_age - 180)
        return AGE

    async def walk(self, tier: str) -> None:
        """Consent, assessment, plan, and every task done at once: to follow-up."""
        rules = self.program.model_dump(mode="json")
        tools = [tool.model_dump(mode="json") for tool in self.rulebook.instruments]
        forms = [form.model_dump(mode="json") for form in self.rulebook.forms]
        today = datetime.now(UTC).astimezone(self.program.zone).date()
        await self.do("record-consent", form="verbal")
        await self.do("complete-screening", accepted=True)
        for kind, body in moves.assess(rules, tools, forms, today, tier, ["simulated"]):
            await self.do(kind, **body)
        await self.do("agree-plan", **moves.plan(rules, today))
        async with self.engine.connect() as connection:
            case = await connection.run_sync(folded, self.keys, self.case_id)
        for task in case.open_tasks if case else ():
            await self.do("complete-task", task_id=task.id)

    async def do(self, kind: str, **body: Any) -> None:
        await self._send(self._envelope(kind, body))

    def _envelope(self, kind: str, body: dict[str, Any]) -> Envelope:
        return Envelope(command_id=uuid.uuid4().hex, kind=kind, body=body, actor=ANNA)

    async def _send(self, envelope: Envelope) -> None:
        outcome: Outcome = await self.handle.execute_update(
            messages.SUBMIT, envelope, id=envelope.command_id, result_type=Outcome
        )
        if outcome.status != "applied":
            raise Stuck(f"{envelope.kind}: {outcome.error}: {outcome.detail}")

    async def nobody_acts(self, pace: "Pace", title: str) -> None:
        """Let time pass, and say how far it is: every deadline takes the engine about a second."""
        said = time.monotonic()
        with aside.status(title) as status:
            for n in range(1, pace.steps + 1):
                await self.environment.fast_forward(self.handle, pace.step)
                progress = f"{title}: {pace.unit} {n} of {pace.steps}"
                status.update(progress)
                if not aside.is_terminal and time.monotonic() - said > SAY_SECONDS:
                    aside.print(progress)
                    said = time.monotonic()


@dataclass(frozen=True)
class Pace:
    """In which steps time passes: days; or a programme's shortest time between contacts, where that is less."""

    steps: int
    step: timedelta
    cadence: Budget

    @property
    def unit(self) -> str:
        return "day" if self.step == ONE_DAY else "contact"

    @property
    def form(self) -> str:
        """How a moment is written: to the second where promises are made in seconds."""
        return "%a %d %b %H:%M" if self.step == ONE_DAY else "%d %b %H:%M:%S"

    @property
    def far_form(self) -> str:
        """How a moment after the time played is written."""
        return "%a %d %b %Y" if self.step == ONE_DAY else self.form

    @classmethod
    def of(cls, rulebook: Rulebook, program: Program, days: int) -> "Pace":
        """A programme whose contacts are seconds apart would take weeks to play for days."""
        now, spans = datetime.now(UTC), {}
        for tier in program.tiers.values():
            working = rulebook.calendar(program.calendar_of(tier.contact))
            span = deadline(now, tier.contact.within, 0, working, program.zone) - now
            spans[max(span, timedelta(seconds=1))] = tier.contact.within
        shortest = min(spans)
        return cls(days, min(shortest, ONE_DAY), spans[shortest])

    def says(self) -> str:
        """Why the time played is not the time asked for."""
        played = f"the time of {self.steps} contacts is played, {self.step * self.steps}"
        return f"A contact is promised every {self.cadence}: {played}, instead of {self.steps} days."


SCENARIOS: dict[str, Callable[[Player], Awaitable[None]]] = {
    "referred, then nobody acts": lambda player: player.open(),
    "followed up at high risk, then nobody acts": lambda player: _walked(player, "high"),
    "followed up at low risk, then nobody acts": lambda player: _walked(player, "low"),
}


async def _walked(player: Player, tier: str) -> None:
    await player.open()
    await player.walk(tier)


async def play(path: Path, days: int) -> int:
    """Play every scenario and print its table; 1 when the programme could not be walked."""
    rulebook, program = catalog.with_file(path)
    # new cases open under the latest version: the file played stands alone for its programme
    alone = tuple(p for p in rulebook.programs if p.program != program.program or p is program)
    rulebook = rulebook.changed(programs=alone)
    pace, stuck = Pace.of(rulebook, program, days), 0
    if pace.step < ONE_DAY:
        aside.print(pace.says())
    async with stage(rulebook) as (environment, engine, settings):
        for title, act in SCENARIOS.items():
            queue, case_id = settings.task_queue, uuid.uuid4().hex
            player = Player(environment, engine, ring_of(settings), queue, rulebook, program, case_id)
            try:
                await act(player)
                await player.nobody_acts(pace, title)
            except Stuck as fault:
                console.print(f"[red]{title}:[/] {fault}")
                stuck = 1
                continue
            await show(player, title, pace)
    return stuck


async def play_until_stopped(path: Path, days: int) -> int:
    """Play, and leave the stage in order when somebody stops it: its Temporal server would run on otherwise."""
    playing, loop = asyncio.current_task(), asyncio.get_running_loop()
    stopped = asyncio.Event()

    def stop() -> None:
        if not stopped.is_set() and playing is not None:  # a second signal must not disturb the leaving
            stopped.set()
            playing.cancel()

    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(name, stop)
    try:
        return await play(path, days)
    except (asyncio.CancelledError, Exception):  # a call that was under way may fail in a way of its own
        if not stopped.is_set():
            raise
        aside.print("Stopped; nothing of it is left.")
        return 130


async def show(player: Player, title: str, pace: Pace) -> None:
    """What happened by itself, in order, in the programme's own time."""
    table = Table("day", "when", "what", "promise", "whom", title=f"{player.program.title}: {title}")
    async with player.engine.connect() as connection:
        steps = await connection.run_sync(lambda c: list(states(c, player.keys, player.case_id)))
    opened = steps[0][1].at
    for before, entry, after in steps:
        if entry.kind not in TIMES or entry.actor.role is not Role.SYSTEM:
            continue
        at = entry.at.astimezone(player.program.zone)
        day = str((at.date() - opened.astimezone(player.program.zone).date()).days)
        table.add_row(day, at.strftime(pace.form), TIMES[entry.kind], *_about(entry.data, before or after))
    for clock in sorted(steps[-1][2].running, key=lambda c: c.due_at):
        if clock.missed_at is None:
            at = clock.due_at.astimezone(player.program.zone)
            table.add_row("", at.strftime(pace.far_form), "will be due", clock.title, "")
    console.print(table)


def _about(data: dict[str, Any], case: Case) -> tuple[str, str]:
    clock = case.clock(data["clock_id"])
    climb = data.get("climb") or {}
    whom = f"{climb['tell']}: {', '.join(climb['told']) or 'nobody found'}" if climb else ""
    return (clock.title if clock else data["clock_id"]), whom


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path, help="a programme file, such as catalog/programs/demo-1.yaml")
    parser.add_argument("--days", type=int, default=30, help="how long nobody acts (30)")
    given = parser.parse_args()
    if not given.program.is_file():
        raise NotHere(f"{given.program} is no file: give PROGRAM=catalog/programs/name-version.yaml")
    if not 1 <= given.days <= 400:
        parser.error("give 1 to 400 days")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        code = asyncio.run(play_until_stopped(given.program, given.days))
    except catalog.CatalogError as fault:
        console.print(f"[red]{fault}[/]")
        code = 2
    except NotHere as lacking:
        print(lacking, file=sys.stderr, flush=True)
        code = 1
    sys.stdout.flush()
    os._exit(code)  # the SDK can crash an interpreter that is shutting down (temporalio/sdk-python#300)
