"""A case manager's moves over HTTP, as the demonstration makes them."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2

BASELINE = {"well_being": 3, "finances": 4, "appropriate_care": 4}
BETTER = {"well_being": 7, "finances": 6, "appropriate_care": 8}


class Refused(Exception):
    """The API said no; `code` is why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class Player:
    """One signed-in person and one HTTP connection."""

    def __init__(self, http: httpx2.AsyncClient, headers: dict[str, str], programs: dict[str, Any]) -> None:
        self.http, self.headers, self.programs = http, headers, programs

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
        """Record every section, and set the tier with its reasons."""
        rules = self.programs[program]
        today = str(datetime.now(UTC).astimezone(ZoneInfo(rules["time_zone"])).date())
        sections = [
            {"name": s["name"], "assessed_on": today, "findings": "See the assessment form"}
            for s in rules["sections"]
        ]
        await self.do(case_id, "record-assessment", sections=sections, baseline=BASELINE)
        await self.do(case_id, "set-risk-tier", tier=tier, reasons=reasons)

    def plan(self, program: str, tasks: int) -> dict[str, Any]:
        """A plan with one SMART goal and some of the programme's tasks."""
        due = datetime.now(UTC).date() + timedelta(days=90)
        goal = {
            "description": "Stay out of hospital",
            "measure": "admissions in 90 days",
            "target": "none",
            "due_on": str(due),
        }
        types = list(self.programs[program]["tasks"])[:tasks]
        return {
            "goals": [goal],
            "interventions": [{"task": name} for name in types],
            "barriers": [{"description": "No car", "response": "Ride service"}],
            "strengths": ["Knows what she wants"],
        }

    async def walk(self, case_id: str, program: str, tier: str, reasons: list[str]) -> None:
        """From screening to follow-up: consent, assessment, tier, plan, tasks done, a contact logged."""
        await self.do(case_id, "record-consent", form="verbal")
        await self.do(case_id, "complete-screening", accepted=True)
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
            raise Refused(problem["code"], f"{problem['detail']} {problem.get('missing') or ''}".strip())
        answer.raise_for_status()
        raise Refused(str(answer.status_code), answer.text[:200])
