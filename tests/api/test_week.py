"""A week of ten people who look at nothing but their own lists: nothing that anybody owes is in none of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from domain.simulation import moves
from domain.values import Role
from infra.notice_tables import OutboxRow
from infra.tables import ClockRow
from tests import office as offices
from tests.office import Office
from tests.story import FORMS, TOOLS, as_json, in_force, referral

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
MORE = {
    "cm-dora": (Role.CASE_MANAGER, ("north",), "local"),
    "cm-eli": (Role.CASE_MANAGER, ("south",), "local"),
    "senior-2": (Role.SENIOR, ("south",), "local"),
}
TEN = ("cm-anna", "cm-ben", "cm-dora", "cm-cora", "cm-eli", "senior-1", "senior-2", "sup-1", "sup-2", "dir-1")
OWN: tuple[dict[str, str], ...] = ({}, {"group": "on-hold"}, {"group": "covering"})
LEADS = ("senior-1", "senior-2", "sup-1", "sup-2", "dir-1")
COURSES = (  # team, owner, programme
    ("north", "cm-anna", "complex-care"),
    ("north", "cm-anna", "transitions"),
    ("north", "cm-ben", "behavioral-health"),
    ("north", "cm-ben", "chronic-care"),
    ("north", "cm-dora", "medication-support"),
    ("north", None, "complex-care"),
    ("south", "cm-cora", "complex-care"),
    ("south", "cm-cora", "transitions"),
    ("south", "cm-eli", "reintegration"),
    ("south", None, "medicaid-tcm"),
)
A_DAY = 4  # things that one person gets done, so that some are missed


class Week:
    """The office and what its people do there, day by day."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.here = list(TEN)
        self.program_of: dict[str, str] = {}

    async def open(self) -> None:
        for number, (team, owner, program) in enumerate(COURSES):
            opening = {"program": program, "team": team, "referral": referral(reference=f"Patient/{number}")}
            groups = in_force().latest(program).target_groups
            fitting = [n for n, g in groups.items() if g.minimum_age <= 76 <= g.maximum_age]
            opening |= {"target_group": fitting[0]} if fitting else {}
            opening |= {"owner": owner} if owner else {}
            answer = await self.office.post("ehr-1" if owner is None else owner, "/cases", opening)
            assert answer.status_code == 201, answer.text
            self.program_of[answer.json()["case_id"]] = program

    async def listed(self, person: str, **asked: Any) -> list[dict[str, Any]]:
        """Every page of one of her lists."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, Any] = {}
        while True:
            page = (await self.office.get(person, "/work", limit=200, **asked, **cursor)).json()
            found += page["items"]
            if page["next"] is None:
                return found
            cursor = {"cursor": page["next"]}

    async def work(self, person: str) -> None:
        """Do the first things of her list, by what it says is to be done, and nothing else."""
        for item in (await self.listed(person))[:A_DAY]:
            await self.do(person, item)
        if person in LEADS:
            for group in ("escalated", "unowned"):
                for item in (await self.listed(person, group=group))[:A_DAY]:
                    await self.do(person, item)

    async def do(self, person: str, item: dict[str, Any]) -> None:
        if item["do"] is None:
            return
        for kind, body in self.bodies(person, item):
            answer = await self.office.post(person, f"/cases/{item['case_id']}/commands/{kind}", body)
            assert answer.status_code in (200, 403, 409, 422), answer.text

    def bodies(self, person: str, item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The commands with which somebody does what a line of her list asks for."""
        kind, body = item["do"]["command"], item["do"]["body"]
        rules, today = as_json(item["program"]), datetime.now(UTC).date() - timedelta(days=1)
        if item["owner"] is None:
            yield (
                "reassign-case",
                {"owner": "cm-dora" if item["team"] == "north" else "cm-eli", "reason": "unowned"},
            )
            return
        call = {"mode": "telephone", "party": "patient", "reached": True, "outcome": "well"}
        words: dict[str, dict[str, Any]] = {
            "log-contact": {**call, **body},
            "record-consent": {"form": "verbal"},
            "complete-screening": {"accepted": True},
            "agree-plan": moves.plan(rules, today + timedelta(days=2)),
            "review-plan": {"note": "as it is"},
            "sign-plan": {"signer": "patient"},
            "acknowledge-escalation": {"note": "seen", **body},
            "decide-approval": {"approve": True, "comment": "yes", **body},
            "answer-transfer": {"accept": True},
            "write-safety-plan": {"warning_signs": ["x"], "coping": ["y"], "people": ["z"]},
            "record-minutes": {"minutes": 20, "activity": "call"},
        }
        if kind == "complete-screening":
            yield "record-consent", {"form": "verbal"}
        if kind == "record-assessment":
            yield from moves.assess(rules, TOOLS, FORMS, today, "moderate", ["x"])
        else:
            yield kind, words.get(kind, body)

    async def next_day(self) -> None:
        for case_id in self.program_of:
            await self.office.forward(case_id, days=1)

    async def owed_in_no_list(self) -> set[tuple[str, str, str | None]]:
        """The promises that stand in nobody's list."""
        seen: set[tuple[str, str]] = set()
        for person in self.here:
            asked = [*OWN, *([{"group": "unowned"}] if person in LEADS else [])]
            for one in asked:
                seen |= {(item["case_id"], item["clock_id"]) for item in await self.listed(person, **one)}
        for queue in ("peer-support", "physician-advisor"):
            seen |= {(item["case_id"], item["clock_id"]) for item in await self.listed("dir-1", queue=queue)}
        query = select(col(ClockRow.case_id), col(ClockRow.id), col(ClockRow.owner), col(ClockRow.kind)).where(
            col(ClockRow.state).in_(("running", "missed", "paused"))
        )
        async with self.office.parts.connection() as connection:
            rows = (await connection.execute(query)).all()
        return {(row.case_id, row.kind, row.owner) for row in rows if (row.case_id, row.id) not in seen}


async def test_in_a_week_of_ten_people_nobody_owes_what_is_in_no_list(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is ill from the third day on and covered, one leaves on the fourth, two cases come without an owner."""
    for person, said in MORE.items():
        monkeypatch.setitem(offices.PEOPLE, person, said)
    for person, lead in {"cm-dora": "sup-1", "cm-eli": "sup-2", "senior-2": "sup-2", "sup-2": "dir-1"}.items():
        monkeypatch.setitem(offices.SUPERVISOR_OF, person, lead)
    await office.hire()
    week = Week(office)
    await week.open()
    for day in range(7):
        for person in week.here:
            if person != "cm-ben" or day < 2:
                await week.work(person)
        if day == 1:
            back = (datetime.now(UTC) + timedelta(days=90)).isoformat()
            away = {"absent_until": back, "cover": "cm-anna"}
            answer = await office.http.put("/me/absence", json=away, headers=office.sign_in("cm-ben"))
            assert answer.status_code == 200, answer.text
        if day == 2:
            entry = {"name": "Cora", "role": "case-manager", "team": "south", "supervisor": "sup-2"}
            left = {**entry, "active": False}
            week.here.remove("cm-cora")
            gone = await office.http.put("/staff/cm-cora", json=left, headers=office.sign_in("dir-1"))
            action = gone.headers["Link"].split(">")[0].strip("<")

            async def handed_over(action: str = action) -> bool:
                return bool((await office.get("dir-1", action)).json()["status"] == "done")

            await office.until(handed_over)
        assert await week.owed_in_no_list() == set(), f"day {day + 1}"
        await week.next_day()
    told = select(col(OutboxRow.recipient), col(OutboxRow.subject)).distinct()
    async with office.parts.connection() as connection:
        notices = (await connection.execute(told)).all()
    assert {row.recipient for row in notices} <= set(TEN)
