"""People of the demo at all stages of all programmes, led there by the same commands that a case manager sends."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx2

from deploy.patients import FAMILY, GIVEN
from domain.simulation import moves

AT_ONCE = 4
SIGNED_IN = Callable[[str], dict[str, str]]
LANGUAGES = ("en", "es", "en", "pl", "en", "ar", "en", "vi")
WISHES = ("Calls after ten, please", "Wants her daughter to be there", "No letters", "Speaks softly, be patient")


@dataclass(frozen=True)
class Course:
    """How far a person of the demo has come: the programme, the last stage, and what is special about her."""

    program: str
    stage: str
    special: str = ""
    owner: str = "cm-anna"
    tier: str = "moderate"
    age: int = 72


COURSES = (
    Course("complex-care", "follow-up", "crisis", tier="high"),
    Course("complex-care", "follow-up", "scores", "cm-ben"),
    Course("complex-care", "implementation", "held"),
    Course("complex-care", "planning", "flag", "cm-ben", "low"),
    Course("complex-care", "follow-up", "approval", tier="high"),
    Course("complex-care", "assessment"),
    Course("transitions", "implementation", "late discharge", tier="high"),
    Course("transitions", "implementation", "discharge", "cm-ben"),
    Course("transitions", "assessment", "late discharge"),
    Course("transitions", "screening", owner="cm-ben"),
    Course("behavioral-health", "follow-up", "scores", age=34),
    Course("behavioral-health", "planning", "", "cm-ben", age=41),
    Course("behavioral-health", "assessment", "suicide risk", age=29),
    Course("behavioral-health", "screening", age=52),
    Course("chronic-care", "follow-up", "values", "cm-ben"),
    Course("chronic-care", "implementation", "offer"),
    Course("chronic-care", "screening"),
    Course("ltac", "assessment", "", "cm-ben"),
    Course("ltac", "planning"),
    Course("medicaid-tcm", "follow-up", "", "cm-ben", age=40),
    Course("medicaid-tcm", "screening", "unowned", age=45),
    Course("reintegration", "assessment", "", "cm-ben", age=38),
    Course("reintegration", "follow-up", age=33),
    Course("demo", "follow-up", "", "cm-ben"),
)
ORDER = ("screening", "assessment", "planning", "implementation", "follow-up")


async def lead(http: httpx2.AsyncClient, signed_in: SIGNED_IN) -> None:
    """Lead everybody as far as her course goes. Asked again, the same keys do nothing twice.

    What a case refuses ends that course: the demo is there to be looked at, and holds nobody up.
    """
    director = signed_in("dir-1")
    programs = {p["program"]: p for p in (await http.get("/programs", headers=director)).json()}
    tools = (await http.get("/instruments", headers=director)).json()
    forms = (await http.get("/forms", headers=director)).json()
    busy = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, course: Course) -> None:
        async with busy:
            await _Case(http, signed_in, number, course, programs[course.program], tools, forms).play()

    await asyncio.gather(*(one(number, course) for number, course in enumerate(COURSES)))


class _Case:
    """One course, played step by step."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        signed_in: SIGNED_IN,
        number: int,
        course: Course,
        program: dict[str, Any],
        tools: list[dict[str, Any]],
        forms: list[dict[str, Any]],
    ) -> None:
        self.http, self.signed_in, self.number, self.course = http, signed_in, number, course
        self.program, self.tools, self.forms, self.steps, self.case_id = program, tools, forms, 0, ""
        self.now = datetime.now(UTC)

    async def play(self) -> None:
        if not await self._open():
            return
        for stage in ORDER[: ORDER.index(self.course.stage)]:
            if not await self._leave(stage):
                break
        special: dict[str, Callable[[], Awaitable[Any]]] = {
            "crisis": lambda: self._do("raise-crisis", description="Found confused", immediate_danger=False),
            "flag": lambda: self._do("raise-flag", message="The family has not been heard of for weeks"),
            "approval": self._approval,
            "discharge": lambda: self._discharge(hours=20),
            "late discharge": lambda: self._discharge(days=6),
            "scores": self._scores,
            "values": self._values,
            "held": self._hold,
            "offer": lambda: self._do("offer-transfer", to="cm-ben", reason="Lives in his area now"),
            "suicide risk": lambda: self._score({"q1": 2, "q2": 2, "q9": 1}),
        }
        if self.course.special in special:
            await special[self.course.special]()

    async def _open(self) -> bool:
        number, course = self.number, self.course
        given, family = GIVEN[number % len(GIVEN)], FAMILY[(number * 3 + number // len(GIVEN)) % len(FAMILY)]
        born = date(self.now.year - course.age, number % 12 + 1, number + 1)
        language = LANGUAGES[number % len(LANGUAGES)]
        person: dict[str, Any] = {
            "names": [{"given": [given], "family": f"{family}-{chr(65 + number)}"}],
            "birth_date": str(born),
            "language": language,
            "needs_interpreter": language != "en",
            "contacts": [{"kind": "mobile", "value": f"+1 212 555 01{number:02d}", "may_leave_message": True}],
        }
        if number % 3 == 0:
            person["wishes"] = WISHES[number // 3 % len(WISHES)]
        referral = {
            "source": "hospital" if course.program == "transitions" else "primary-care",
            "reason": "Two admissions in six months",
            "patient": {"reference": f"Patient/townsperson-{number}", "birth_date": str(born)},
        }
        body: dict[str, Any] = {"program": course.program, "team": "north", "person": person, "is_new": True}
        body |= {"referral": referral, **self._group()}
        if course.special != "unowned":
            body["owner"] = course.owner
        sender = "ehr-1" if course.special == "unowned" else course.owner
        headers = {**self.signed_in(sender), "Idempotency-Key": f"townsperson-{number}"}
        answer = await self.http.post("/cases", json=body, headers=headers)
        self.case_id = answer.json().get("case_id", "") if answer.status_code == 201 else ""
        return bool(self.case_id)

    def _group(self) -> dict[str, str]:
        age = self.course.age
        groups = self.program.get("target_groups") or {}
        fitting = [n for n, g in groups.items() if g["minimum_age"] <= age <= g["maximum_age"]]
        return {"target_group": fitting[0]} if fitting else {}

    async def _do(self, kind: str, by: str = "", /, **body: Any) -> dict[str, Any]:
        """Send a command; an empty answer where it was refused."""
        self.steps += 1
        key = f"townsperson-{self.number}-{self.steps}"
        headers = {**self.signed_in(by or self.course.owner), "Idempotency-Key": key}
        answer = await self.http.post(f"/cases/{self.case_id}/commands/{kind}", json=body, headers=headers)
        said: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        return said

    async def _leave(self, stage: str) -> bool:
        """Do what leads on from a stage; whether the case took all of it."""
        taken = [await self._do(kind, **body) for kind, body in self._ways_out(stage)]
        if stage == "implementation":
            case = (await self.http.get(f"/cases/{self.case_id}", headers=self.signed_in("dir-1"))).json()["case"]
            for task in case["tasks"]:
                taken.append(await self._do("complete-task", task_id=task["id"]))
        return all(taken)

    def _ways_out(self, stage: str) -> Iterator[tuple[str, dict[str, Any]]]:
        today = self.now.date() - timedelta(days=1)  # whatever the zone, the day has come
        if stage == "screening":
            yield "record-consent", {"form": "verbal"}
            yield "complete-screening", moves.screen(self.program)
        elif stage == "assessment":
            tier, reasons = self.course.tier, ["Lives alone"]
            yield from moves.assess(self.program, self.tools, self.forms, today, tier, reasons)
        elif stage == "planning":
            yield "agree-plan", moves.plan(self.program, self.now.date() + timedelta(days=1))

    async def _discharge(self, **ago: float) -> None:
        home = {"event": "discharge", "setting": "inpatient", "disposition": "home"}
        at = (self.now - timedelta(**ago)).isoformat()
        await self._do("record-transition", event_id=f"adt-{self.number}", occurred_at=at, **home)

    async def _approval(self) -> None:
        await self._do("request-approval", subject="tier-override", tier="low", note="Her son has moved in")

    async def _score(self, answers: dict[str, int], days_ago: int = 0) -> None:
        at = (self.now - timedelta(days=days_ago)).isoformat()
        await self._do("record-score", instrument="phq-9", version="2001", answers=answers, occurred_at=at)

    async def _scores(self) -> None:
        for days_ago, points in ((60, 2), (40, 2), (20, 1), (1, 1)):
            items = {f"q{n}": points for n in range(1, 9)}
            await self._score({**items, "q1": max(0, points - 1), "q9": 0}, days_ago)

    async def _values(self) -> None:
        for days_ago, value in ((75, 138), (50, 131), (25, 127), (1, 144)):
            at = (self.now - timedelta(days=days_ago)).isoformat()
            await self._do("record-observation", indicator="systolic", value=value, unit="mmHg", taken_at=at)

    async def _hold(self) -> None:
        case = (await self.http.get(f"/cases/{self.case_id}", headers=self.signed_in("dir-1"))).json()["case"]
        until = (self.now + timedelta(days=5)).isoformat()
        for task in case["tasks"][:1]:
            await self._do("hold-task", task_id=task["id"], until=until, reason="Away with her sister")
