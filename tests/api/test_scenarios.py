"""One life for each programme, played over HTTP on a server that skips time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.simulation import moves
from tests.domain.steps.test_crisis import SAFETY_PLAN
from tests.office import Office
from tests.story import FORMS, TOOLS, as_json, in_force, referral

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
PHQ = {f"q{n}": 2 for n in range(1, 9)}


class Life:
    """One person's case in an office, and its own time."""

    def __init__(self, office: Office, case_id: str, program: str) -> None:
        self.office, self.id, self.program = office, case_id, program

    @classmethod
    async def begin(cls, office: Office, program: str, **more: Any) -> "Life":
        life = cls(office, await office.open(program=program, **more), program)
        await life.do("record-consent", form="written")
        await life.do("complete-screening", **moves.screen(as_json(program)))
        return life

    async def do(self, kind: str, by: str = "cm-anna", /, **body: Any) -> dict[str, Any]:
        return await self.office.do(self.id, kind, by, **body)

    async def refused(self, kind: str, by: str = "cm-anna", /, **body: Any) -> str:
        return (await self.office.refused(self.id, kind, by, **body))[1]

    async def case(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.office.get("dir-1", f"/cases/{self.id}")).json()["case"]
        return found

    async def clocks(self, kind: str) -> list[dict[str, Any]]:
        return [c for c in (await self.case())["clocks"] if c["kind"] == kind and not c["settled"]]

    async def tasks(self) -> dict[str, str]:
        return {t["type"]: t["id"] for t in (await self.case())["tasks"]}

    async def now(self) -> datetime:
        """The case's own time, by the event that asking for it leaves."""
        await self.do("add-note", text="what time is it")
        events = (await self.office.get("dir-1", f"/cases/{self.id}/timeline", limit=200)).json()
        while events["next"]:
            path = f"/cases/{self.id}/timeline"
            events = (await self.office.get("dir-1", path, limit=200, cursor=events["next"])).json()
        return datetime.fromisoformat(events["items"][-1]["at"])

    async def assess(self, tier: str, given: dict[str, float] | None = None) -> None:
        """`given` are the factors of the risk that the record does not know, where it knows some."""
        today = (await self.now()).astimezone(in_force().latest(self.program).zone).date()
        for kind, body in moves.assess(as_json(self.program), TOOLS, FORMS, today, tier, ["as assessed"]):
            known = {"given": given} if given is not None and kind == "stratify-risk" else {}
            await self.do(kind, **{**body, **known})

    async def plan(self, *tasks: str) -> None:
        today = (await self.now()).date()
        await self.do("agree-plan", **moves.plan(as_json(self.program), today, tasks))

    async def reach(self, mode: str = "telephone", **more: Any) -> None:
        await self.do("log-contact", mode=mode, party="patient", reached=True, outcome="spoke", minutes=15, **more)

    async def settle(self) -> None:
        """Do what is open; what one may not do is cancelled with the reason."""
        for task in (await self.case())["tasks"]:
            path = f"/cases/{self.id}/commands/complete-task"
            answer = await self.office.post("cm-anna", path, {"task_id": task["id"]})
            if answer.status_code != 200:
                await self.do("cancel-task", task_id=task["id"], reason="done by a clinician elsewhere")
        for task in (await self.case())["tasks"]:
            await self.do("cancel-task", task_id=task["id"], reason="no longer needed")

    async def close(self, reason: str = "goals-met") -> None:
        """All that a closure asks for: signatures, outcome, survey, notice, its days, and the supervisor."""
        for kind, body in moves.leave(as_json(self.program), reason):
            await self.do(kind, **body)
        await self.office.forward(self.id, days=12)
        for clock in (await self.case())["clocks"]:
            if clock["missed_at"] and not clock["acknowledged"]:
                await self.do("acknowledge-escalation", escalation_id=f"{clock['id']}-missed")
        for approval in (await self.case())["approvals"]:
            assert await self.refused("decide-approval", approval_id=approval["id"], approve=True, comment="x")
            await self.do("decide-approval", "sup-1", approval_id=approval["id"], approve=True, comment="agreed")
        await self.do("close", reason=reason, note="Goals reached; primary care goes on")
        assert not [c for c in (await self.case())["clocks"] if not c["settled"]]


async def test_an_elderly_patient_after_a_stroke(office: Office) -> None:
    """Rehabilitation, the insurer, appointments, medication: complex care, from the referral to closure."""
    stroke = {"code": "I63.9", "system": "http://hl7.org/fhir/sid/icd-10-cm", "display": "Stroke"}
    names = ("aspirin", "atorvastatin", "lisinopril", "metformin", "insulin", "sertraline")
    drugs = [{"display": name} for name in names]
    stay = {"setting": "inpatient", "started_on": str((datetime.now(UTC) - timedelta(days=20)).date())}
    ill = referral(birth_date="1946-02-11", conditions=[stroke], medications=drugs, encounters=[stay])
    life = await Life.begin(office, "complex-care", referral=ill)
    missing = (await office.post("cm-anna", f"/cases/{life.id}/commands/stratify-risk", {})).json()["missing"]
    assert {"section legal", "section environment", "section caregiver"} <= set(missing)
    await life.assess("high", {"depression": 12, "social-needs": 2})
    await life.do("join-care-team", role="caregiver", reference="RelatedPerson/2", needs=["a free evening"])
    can = {item: item == "feeding" for item in least("katz")}
    await life.do("record-score", instrument="katz", version="1963", answers=can)
    await life.plan("arrange-appointment", "education", "home-visit")
    home = (await life.now()).isoformat()
    discharge = {"event_id": "adt-1", "event": "discharge", "setting": "inpatient", "occurred_at": home}
    await life.do("record-transition", "cm-anna", **discharge)
    assert len(await life.clocks("transition")) == 4
    await office.forward(life.id, hours=20)
    await life.reach()
    await life.do(
        "reconcile-medications", medications=[{"name": d["display"]} for d in drugs], sources=["pill box"]
    )
    await life.reach("in-person")
    assert await life.clocks("transition") == []
    insurer = {"type": "payer", "recipient": "Insurer, rehabilitation unit", "reason": "outpatient rehabilitation"}
    [asked] = (await life.do("draft-referral", **insurer))["created"]
    await life.do("send-referral", referral_id=asked)
    await life.do("decline-referral", referral_id=asked, reason="not medically necessary")
    await life.do("send-referral", referral_id=asked, recipient="Insurer, appeals")
    await life.do("accept-referral", referral_id=asked, note="authorized for twelve visits")
    await life.do("complete-referral", referral_id=asked, note="twelve visits of rehabilitation")
    await life.do("record-goal-progress", goal="g1", achievement="achieved", note="walks with a frame")
    await life.settle()
    assert (await life.case())["stage"] == "follow-up"
    outcome = await office.post("cm-anna", f"/cases/{life.id}/commands/close", {"reason": "goals-met"})
    assert f"referral {asked}" in outcome.json()["missing"]
    await life.do("close-referral-loop", referral_id=asked, report="report read with her daughter")
    await life.close()


def least(name: str) -> dict[str, Any]:
    return moves.least(next(tool for tool in TOOLS if tool["name"] == name))


async def test_a_depressed_adolescent_whose_item_9_is_positive(office: Office) -> None:
    """The alert without a total, the crisis, the safety plan, a licensed assessment, and a response in the end."""
    life = await Life.begin(office, "behavioral-health", referral=referral(birth_date="2012-05-05"))
    await life.do("record-score", instrument="phq-9", version="2001", answers={"q9": 2})
    assert "suicide-risk-assessment" in await life.tasks()
    assert (await life.clocks("safety-plan"))[0]["title"] == "Write a safety plan"
    urgent = [n for n in (await office.get("sup-1", "/notices")).json()["items"] if n["urgent"]]
    assert [n["subject"] for n in urgent] == ["licence-lacking", "alert"]
    await life.assess("high")
    await life.plan("therapy-referral")
    [approval] = (await life.case())["approvals"]
    await life.do("decide-approval", "sup-1", approval_id=approval["id"], approve=True, comment="fits")
    raised = await life.do("raise-crisis", description="says goodbye to friends")
    assert "988" in raised["advice"]
    assert (await office.get("sup-1", "/cases", in_crisis=True)).json()["items"][0]["id"] == life.id
    task = (await life.tasks())["suicide-risk-assessment"]
    assert await life.refused("complete-task", task_id=task) == "LicenceMissing"
    licensed = {
        "name": "Ben",
        "role": "case-manager",
        "team": "north",
        "supervisor": "sup-1",
        "licences": ["lcsw"],
    }
    await office.http.put("/staff/cm-ben", json=licensed, headers=office.sign_in("dir-1"))
    await life.do("complete-task", "cm-ben", task_id=task, result="no plan, no intent; sister stays")
    await life.do("write-safety-plan", **SAFETY_PLAN)
    await life.do("record-disposition", disposition="safe-at-home", note="sister stays")
    follow_up = (await life.now() + timedelta(hours=48)).isoformat()
    await life.do("end-crisis", follow_up_by=follow_up)
    assert not [c for c in (await life.case())["clocks"] if c["pause"]]
    await office.forward(life.id, hours=30)
    await life.reach("in-person")
    await life.do("record-score", instrument="phq-9", version="2001", answers={**PHQ, "q9": 0})
    await office.forward(life.id, days=6)
    better = {**dict.fromkeys(PHQ, 0), "q1": 3, "q9": 0}
    await life.do("record-score", instrument="phq-9", version="2001", answers=better)
    [score] = [s for s in (await life.case())["scores"] if s["instrument"] == "phq-9"]
    assert (score["baseline"], score["total"]) == (0, 3)
    await life.settle()
    assert (await life.case())["stage"] == "follow-up"


async def test_an_emergency_frequent_user_without_housing(office: Office) -> None:
    """No steady place opens a place for tonight; each visit promises a contact; strengths before goals."""
    life = await Life.begin(office, "reintegration", referral=referral(birth_date="1979-08-08"))
    homeless = {**least("ahc-hrsn"), "q1": "no steady place", "q4": "often true"}
    await life.do("record-score", instrument="ahc-hrsn", version="2021", answers=homeless)
    tonight = (await life.tasks())["shelter-tonight"]
    await office.forward(life.id, hours=9)
    assert any(c["missed_at"] for c in await life.clocks("task"))
    await life.do("complete-task", task_id=tonight, result="shelter on Fifth Street")
    await life.assess("high")
    today = (await life.now()).date()
    plan = moves.plan(as_json("reintegration"), today, ["housing-application", "supported-employment"])
    assert await life.refused("agree-plan", **{**plan, "strengths": []}) == "StrengthsMissing"
    await life.do("agree-plan", **plan)
    for number in range(3):
        at = (await life.now()).isoformat()
        visit = {"event_id": f"ed-{number}", "event": "visit", "setting": "emergency", "occurred_at": at}
        await life.do("record-transition", **visit)
        await life.do("record-transition", **visit)
        [clock] = await life.clocks("transition")
        assert clock["policy"] == "transitions.emergency-visit.clocks.follow-up-7d"
        await office.forward(life.id, days=2)
        await life.reach()
    assert await life.clocks("transition") == []
    await life.do("review-graduation", met=["skills"])
    assert (await life.case())["graduated"] == ["skills"]
    await life.settle()
    assert (await life.case())["stage"] == "follow-up"


async def test_a_discharge_on_the_friday_before_a_federal_holiday(office: Office) -> None:
    """48 hours end on Sunday, two business days on Wednesday: Monday is a holiday. Untouched, both are noticed."""
    life = await Life.begin(office, "transitions")
    now, federal = await life.now(), in_force().calendar("us-federal")
    monday = min(d for d in federal.holidays if d.isoweekday() == 1 and d > now.date() + timedelta(days=5))
    friday = datetime(monday.year, monday.month, monday.day, 20, tzinfo=now.tzinfo) - timedelta(days=3)
    await office.forward(life.id, seconds=(friday - now).total_seconds())
    await life.assess("high")
    at = await life.now()
    home = {"event_id": "d1", "event": "discharge", "setting": "inpatient", "occurred_at": at.isoformat()}
    await life.do("record-transition", **home)
    clocks = {c["policy"].rpartition(".")[2]: c for c in await life.clocks("transition")}
    zone = in_force().latest("transitions").zone
    due = {name: datetime.fromisoformat(c["due_at"]).astimezone(zone) for name, c in clocks.items()}
    assert due["outreach-48h"] == at + timedelta(hours=48)
    assert due["contact-2bd"].date() == monday + timedelta(days=2)
    assert due["visit"].date() == monday + timedelta(days=4)
    asked = {"anchor": at.isoformat(), "program": "transitions", "policy": clocks["contact-2bd"]["policy"]}
    shown = (await office.post("cm-anna", "/clocks/preview", asked)).json()
    assert shown["due_at"] == clocks["contact-2bd"]["due_at"]
    await office.forward(life.id, days=5, hours=20)
    missed = [c["policy"].rpartition(".")[2] for c in await life.clocks("transition") if c["missed_at"]]
    assert sorted(missed) == ["contact-2bd", "outreach-48h"]
    again = {"event_id": "a1", "event": "admission", "setting": "inpatient"}
    await life.do("record-transition", **again, occurred_at=(await life.now()).isoformat())
    assert "readmission-noticed" in await office.kinds(life.id)
    assert await life.clocks("transition") == [] or (await life.clocks("transition"))[0]["about"].startswith("a1")


async def test_a_child_in_targeted_case_management_over_a_year(office: Office) -> None:
    """Brokerage: referrals first; the yearly reassessment opens by itself; a change of condition opens one too."""
    life = await Life.begin(office, "medicaid-tcm", referral=referral(birth_date="2016-01-01"))
    assert (await life.case())["target_group"] == "children-and-adolescents"
    await life.assess("low")
    only = moves.plan({**as_json("medicaid-tcm"), "plan": None}, (await life.now()).date(), ["arrange-transport"])
    assert await life.refused("agree-plan", **only) == "ReferralMissing"
    await office.forward(life.id, days=340)
    assert (await life.case())["stage"] == "assessment"
    assert "reassessment-opened" in await office.kinds(life.id)
    await life.assess("low")
    assert (await life.case())["stage"] == "planning"
    await life.plan("refer-to-service", "arrange-transport")
    await life.do("report-significant-change", description="taken into foster care")
    assert (await life.case())["stage"] == "assessment"
    for clock in (await life.case())["clocks"]:
        if clock["missed_at"] and not clock["acknowledged"]:
            await life.do("acknowledge-escalation", escalation_id=f"{clock['id']}-missed")
    await life.do("close", reason="moved")


async def test_long_term_acute_care(office: Office) -> None:
    """A physician advisor's queue and licence, weekly reviews, conference, avoidable days, discharge, approval."""
    life = await Life.begin(office, "ltac")
    [waiting] = (await office.get("sup-1", "/worklist", queue="physician-advisor")).json()["items"]
    assert await life.refused("claim-task", task_id=waiting["about"]) == "LicenceMissing"
    doctor = {"name": "Dr. Senior", "role": "senior-case-manager", "team": "north", "licences": ["md"]}
    await office.http.put("/staff/senior-1", json=doctor, headers=office.sign_in("dir-1"))
    await life.do("claim-task", "senior-1", task_id=waiting["about"])
    assert (await office.get("sup-1", "/worklist", queue="physician-advisor")).json()["items"] == []
    await life.do("complete-task", "senior-1", task_id=waiting["about"], result="necessary")
    review = (await life.tasks())["utilization-review"]
    await life.do("complete-task", task_id=review)
    [again] = [c for c in await life.clocks("task") if c["title"] == "Review the stay"]
    assert again["budget"]["amount"] == 6  # on days 3, 6, 9 of the stay
    await life.assess("high")
    await life.plan("transition-assessment")
    [approval] = (await life.case())["approvals"]
    await life.do("decide-approval", "sup-1", approval_id=approval["id"], approve=False, comment="no goal of care")
    assert (await life.case())["stage"] == "planning"
    plan = moves.plan(as_json("ltac"), (await life.now()).date(), ["transition-assessment"])
    await life.do("agree-plan", **plan)
    [approval] = (await life.case())["approvals"]
    await life.do("decide-approval", "sup-1", approval_id=approval["id"], approve=True, comment="good")
    people = ["physician", "respiratory therapist", "her son"]
    await life.do("hold-conference", attendees=people, decisions=["wean"], tasks=[{"task": "conference"}])
    today = (await life.now()).astimezone(in_force().latest("ltac").zone).date()
    days = {"first": str(today), "last": str(today)}
    await life.do("record-avoidable-days", **days, reason="no-accepting-facility", attributed_to="facility")
    home = {"event_id": "l1", "event": "discharge", "setting": "ltac"}
    await life.do("record-transition", **home, occurred_at=(await life.now()).isoformat())
    needs: dict[str, Any] = {"event_id": "l1", "needs": ["ventilator at home"], "safe": True}
    assert await life.refused("plan-discharge", **needs) == "NotSafeYet"
    assert len(await life.clocks("transition")) == 2


async def test_chronic_care_over_two_months(office: Office) -> None:
    """Indicators out of range, minutes by month, adherence from fills, five medications."""
    life = await Life.begin(office, "chronic-care")
    await life.assess("low")
    await life.plan("education")
    seen = await life.do("record-observation", "cm-anna", indicator="systolic", value=188, unit="mmHg")
    assert "alert-raised" in seen["events"]
    task = (await life.tasks())["same-day-review"]
    assert await life.refused("record-observation", indicator="systolic", value=188, unit="bar") == "UnknownUnit"
    await life.do("complete-task", task_id=task, result="seen by the physician")
    medications = [{"name": f"drug {n}"} for n in range(6)]
    await life.do("reconcile-medications", medications=medications, sources=["pharmacy"])
    today = (await life.now()).astimezone(in_force().latest("chronic-care").zone).date()
    fills = [{"drug": "A", "on": str(today - timedelta(days=d)), "days": 15} for d in (59, 44)]
    await life.do("record-adherence", drug_class="statin", fills=fills, until=str(today))
    assert "adherence-check" in await life.tasks()
    await office.forward(life.id, days=32)
    await life.reach()
    minutes = {m["month"]: m["minutes"] for m in (await life.case())["minutes"]}
    assert len(minutes) == 2
    assert list(minutes.values())[-1] == 15
    await life.do("raise-flag", "sup-1", message="no visit in a month")
    [flag] = (await life.case())["flags"]
    await life.do("resolve-flag", flag_id=flag["id"], resolution="visit on Monday")


async def test_medication_support_with_a_renewal_in_time(office: Office) -> None:
    """The assistance programme is renewed within its lead time; a side effect reaches the prescriber."""
    life = await Life.begin(office, "medication-support", referral=referral(birth_date="2010-01-01"))
    await life.assess("low")
    await life.plan("assistance-application", "pharmacy-call")
    renew = (await life.now()).date() + timedelta(days=45)
    [added] = (await life.do("add-assistance", title="Manufacturer's programme", renew_by=str(renew)))["created"]
    await life.do("report-side-effect", medication="drug A", effect="dizzy", severity="moderate")
    await life.do("complete-task", task_id=(await life.tasks())["report-side-effect"], result="prescriber called")
    await office.forward(life.id, days=17)
    [clock] = await life.clocks("renewal")
    assert [climb["tell"] for climb in clock["climbs"]] == ["owner"]
    await life.do("renew-assistance", assistance_id=added, renew_by=str(renew + timedelta(days=365)))
    await life.do("receive-message", channel="portal", text="which pill is for the morning?")
    assert len(await life.clocks("reply")) == 1
    await life.reach("message")
    assert await life.clocks("reply") == []
    await life.settle()
    await life.do("end-assistance", assistance_id=added, reason="Medicaid pays now")
    await life.close()
