"""A case manager's moves over HTTP, as the demonstration makes them."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2

from domain.simulation import moves


class Refused(Exception):
    """The API said no; `code` is why, `missing` what it lists as lacking."""

    def __init__(self, code: str, detail: str, missing: Sequence[str] = ()) -> None:
        super().__init__(f"{code}: {detail} {', '.join(missing)}".strip())
        self.code, self.missing = code, tuple(missing)


class Player:
    """One signed-in person and one HTTP connection."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        headers: dict[str, str],
        programs: dict[str, Any],
        instruments: list[dict[str, Any]],
        forms: list[dict[str, Any]],
    ) -> None:
        self.http, self.headers, self.programs = http, headers, programs
        self.instruments, self.forms = instruments, forms

    async def get(self, path: str, **params: Any) -> Any:
        """Ask for something. Raises `Refused`."""
        return self._read(await self.http.get(path, params=params, headers=self.headers))

    async def refer(self, bundle: dict[str, Any], program: str, **more: Any) -> str:
        """Refer the patient of a bundle; return the case's id."""
        headers = {**self.headers, "Idempotency-Key": uuid.uuid4().hex}
        answer = await self.http.post(
            "/referrals/fhir", params={"program": program, **more}, json=bundle, headers=headers
        )
        return str(self._read(answer)["case_id"])

    async def do(self, case_id: str, kind: str, **body: Any) -> Any:
        """Send a command under a key, and again under the same key while nobody knows what became of it."""
        headers = {**self.headers, "Idempotency-Key": uuid.uuid4().hex}
        path = f"/cases/{case_id}/commands/{kind}"
        answer = await self.http.post(path, json=body, headers=headers)
        while answer.status_code in (202, 503):
            answer = await self.http.post(path, json=body, headers=headers)
        return self._read(answer)

    async def assess(self, case_id: str, program: str, tier: str, reasons: list[str]) -> None:
        """Record what the programme's assessment asks for, and evaluate the risk."""
        rules = self.programs[program]
        today = datetime.now(UTC).astimezone(ZoneInfo(rules["time_zone"])).date()
        for kind, body in moves.assess(rules, self.instruments, self.forms, today, tier, reasons):
            if kind == "stratify-risk":
                await self._stratify(case_id, rules, body)
            else:
                await self.do(case_id, kind, **body)

    async def _stratify(self, case_id: str, rules: dict[str, Any], body: dict[str, Any]) -> None:
        """Evaluate the risk by what the record knows, and give what it says that it lacks."""
        try:
            await self.do(case_id, "stratify-risk")
        except Refused as refusal:
            if refusal.code != "CannotStratify":
                raise
            await self.do(case_id, "stratify-risk", **moves.only(rules["stratification"], body, refusal.missing))

    def plan(self, program: str, tasks: int) -> dict[str, Any]:
        """A plan with one SMART goal and some of the programme's tasks."""
        rules = self.programs[program]
        open_to_all = [n for n, t in rules["tasks"].items() if not t.get("licences") and not t.get("cosign")]
        return moves.plan(rules, datetime.now(UTC).date() + timedelta(days=30), open_to_all[:tasks])

    async def walk(self, case_id: str, program: str, tier: str, reasons: list[str]) -> None:
        """From screening to follow-up: consent, assessment, tier, plan, tasks done, a contact logged."""
        await self.do(case_id, "record-consent", form="verbal")
        await self.do(case_id, "complete-screening", **moves.screen(self.programs[program]))
        await self.assess(case_id, program, tier, reasons)
        agreed = await self.do(case_id, "agree-plan", **self.plan(program, 2))
        for task_id in agreed["created"]:
            await self.do(case_id, "complete-task", task_id=task_id, result="Done")
        await self.do(
            case_id, "log-contact", mode="telephone", party="patient", reached=True, outcome="Knows the plan"
        )

    def _read(self, answer: httpx2.Response) -> Any:
        if answer.is_success:
            return answer.json()
        if answer.headers.get("content-type", "").startswith("application/problem+json"):
            problem = answer.json()
            raise Refused(problem["code"], problem["detail"], problem.get("missing") or ())
        answer.raise_for_status()
        raise Refused(str(answer.status_code), answer.text[:200])
