"""The people of a test office, each with a signed-in HTTP client on the real application."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import httpx2
from temporalio.testing import WorkflowEnvironment

from api.app import app
from api.system import System
from domain.simulation import moves
from domain.values import Role
from infra import tokens
from infra.temporal import workflow_id
from tests.story import FORMS, TOOLS, as_json, in_force, referral

PEOPLE = {
    "cm-anna": (Role.CASE_MANAGER, ("north",), "local"),
    "cm-ben": (Role.CASE_MANAGER, ("north",), "local"),
    "cm-cora": (Role.CASE_MANAGER, ("south",), "local"),
    "senior-1": (Role.SENIOR, ("north",), "local"),
    "sup-1": (Role.SUPERVISOR, ("north",), "local"),
    "sup-2": (Role.SUPERVISOR, ("south",), "local"),
    "dir-1": (Role.DIRECTOR, (), "local"),
    "ehr-1": (Role.INTEGRATOR, (), "local"),
    "ehr-2": (Role.INTEGRATOR, (), "local"),
    "aud-1": (Role.AUDITOR, (), "local"),
    "dir-x": (Role.DIRECTOR, (), "elsewhere"),
}
SUPERVISOR_OF = {"cm-anna": "sup-1", "cm-ben": "sup-1", "senior-1": "sup-1", "sup-1": "dir-1", "cm-cora": "sup-2"}


class Office:
    """`await office.post("cm-anna", "/cases", …)` and the like."""

    def __init__(self, parts: System, environment: WorkflowEnvironment) -> None:
        self.parts, self.environment = parts, environment
        self.app = app  # one for all tests: putting its routes together takes two seconds
        self.app.state.system = parts
        self.passed: defaultdict[str, timedelta] = defaultdict(timedelta)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
        client = httpx2.AsyncClient(transport=transport, base_url="http://caseloom.test", timeout=60)
        self.http = await self._stack.enter_async_context(client)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.parts.let_go()
        await self._stack.aclose()

    def sign_in(self, person: str) -> dict[str, str]:
        role, teams, tenant = PEOPLE[person]
        return {"Authorization": f"Bearer {tokens.issue(self.parts.settings, person, role, teams, tenant)}"}

    async def get(self, person: str, path: str, **params: Any) -> httpx2.Response:
        return await self.http.get(path, params=params, headers=self.sign_in(person))

    async def post(self, person: str, path: str, body: Any, **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(path, json=body, headers={**self.sign_in(person), **named})

    async def hire(self) -> None:
        """Put everybody but the integrators and the auditor into the directory."""
        for person, (role, teams, tenant) in PEOPLE.items():
            if role in (Role.INTEGRATOR, Role.AUDITOR) or tenant != "local":
                continue
            team = teams[0] if teams else None
            entry = {"name": person, "role": role, "team": team, "supervisor": SUPERVISOR_OF.get(person)}
            answer = await self.http.put(f"/staff/{person}", json=entry, headers=self.sign_in("dir-1"))
            assert answer.status_code == 200, answer.text

    async def open(self, person: str = "cm-anna", /, program: str = "complex-care", **more: Any) -> str:
        """Open a case and return its id."""
        body = {"program": program, "referral": referral(), "team": "north", **more}
        answer = await self.post(person, "/cases", body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["case_id"])

    async def do(self, case_id: str, kind: str, by: str = "cm-anna", /, **body: Any) -> dict[str, Any]:
        """Send a command that must be applied."""
        answer = await self.post(by, f"/cases/{case_id}/commands/{kind}", body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def refused(self, case_id: str, kind: str, by: str = "cm-anna", /, **body: Any) -> tuple[int, str]:
        """Send a command that must be refused; return status and code."""
        answer = await self.post(by, f"/cases/{case_id}/commands/{kind}", body)
        return answer.status_code, answer.json()["code"]

    async def walk(self, case_id: str, program: str = "complex-care", tier: str = "high") -> None:
        """From screening to follow-up."""
        rules = as_json(program)
        await self.do(case_id, "record-consent", form="verbal")
        await self.do(case_id, "complete-screening", **moves.screen(rules))
        today = datetime.now(UTC).astimezone(in_force().latest(program).zone).date()
        for kind, body in moves.assess(rules, TOOLS, FORMS, today, tier, ["r"]):
            await self.do(case_id, kind, **body)
        await self.do(case_id, "agree-plan", **moves.plan(rules, today))
        for task in (await self.get("cm-anna", f"/cases/{case_id}")).json()["case"]["tasks"]:
            await self.do(case_id, "complete-task", task_id=task["id"])

    async def forward(self, case_id: str, **span: float) -> None:
        """Let the case's own time pass."""
        self.passed[case_id] += timedelta(**span)
        handle = self.environment.client.get_workflow_handle(workflow_id("local", case_id))
        await self.environment.fast_forward(handle, timedelta(**span))

    async def climb(self, case_id: str, kind: str, tell: str) -> None:
        """Let time pass from rung to rung of a promise until somebody is told: no day of the year is another."""
        async with asyncio.timeout(20):
            while True:
                case = (await self.get("dir-1", f"/cases/{case_id}")).json()["case"]
                clock = next(c for c in case["clocks"] if c["kind"] == kind)
                if tell in [climb["tell"] for climb in clock["climbs"]]:
                    return
                span = datetime.fromisoformat(clock["next_at"]) - datetime.now(UTC) - self.passed[case_id]
                if span > timedelta():
                    await self.forward(case_id, seconds=span.total_seconds() + 1)
                await asyncio.sleep(0.05)

    async def until(self, condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
        """Wait until an awaited condition holds."""
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.05)

    async def kinds(self, case_id: str) -> list[str]:
        """The kinds of all events on record."""
        answer = await self.get("dir-1", f"/cases/{case_id}/timeline", limit=200)
        return [item["kind"] for item in answer.json()["items"]]
