"""What a case says in FHIR R4: the episode, the plan, tasks, referrals, consent, team, risk, flags,
stays.

Built from the case as it is; nothing of it is stored as FHIR.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from zoneinfo import ZoneInfo

from domain.case.case import Case, Task, TaskStatus
from domain.case.open_parts import ReferralStatus, Transition
from domain.case.plan_parts import Achievement, Plan
from domain.programs.plan_template import InterventionKind
from domain.programs.program import Program, Stage
from exchange import fhir_referral_task
from exchange.fhir_codes import (
    ACT_CODE,
    HL7,
    ICD10,
    LOINC,
    OURS,
    Resource,
    at,
    concept,
    id_in,
    reference,
    resource,
    staff,
)

CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/careplan-category"
STATUS = {
    TaskStatus.READY: "ready",
    TaskStatus.IN_PROGRESS: "in-progress",
    TaskStatus.AWAITING_COSIGN: "in-progress",
    TaskStatus.ON_HOLD: "on-hold",
    TaskStatus.COMPLETED: "completed",
    TaskStatus.CANCELLED: "cancelled",
}
REFERRAL = {
    ReferralStatus.DRAFT: "draft",
    ReferralStatus.SENT: "active",
    ReferralStatus.ACCEPTED: "active",
    ReferralStatus.IN_PROGRESS: "active",
    ReferralStatus.ON_HOLD: "on-hold",
    ReferralStatus.DECLINED: "active",
    ReferralStatus.FAILED: "active",
    ReferralStatus.DONE: "completed",
}
TASK_CODE = "http://hl7.org/fhir/CodeSystem/task-code"
LIFECYCLE = {Achievement.ACHIEVED: "completed", Achievement.NOT_ATTAINABLE: "cancelled"}
SETTINGS = {"inpatient": "IMP", "emergency": "EMER", "observation": "OBSENC"}


@dataclass(frozen=True)
class Standing:
    """A case at one moment, under the programme that it has then, and whose it is."""

    case: Case
    program: Program
    person_id: str

    @property
    def subject(self) -> dict[str, str]:
        return reference("Patient", self.person_id)

    def id(self, part: str) -> str:
        return id_in(self.case.id, part)

    def make(self, kind: str, part: str, **fields: object) -> Resource:
        return resource(kind, self.id(part), self.program.sensitivity, fields)


def episode(standing: Standing) -> Iterator[Resource]:
    case = standing.case
    held = case.consent is not None and not case.consent.in_force
    status = "finished" if case.closed else "waitlist" if case.stage is Stage.SCREENING else "active"
    yield standing.make(
        "EpisodeOfCare",
        "episode",
        extension=[{"url": f"{OURS}/StructureDefinition/stage", "valueCode": case.stage.value}],
        status="onhold" if held and not case.closed else status,
        type=[concept(standing.program.title, (f"{OURS}/program", case.program))],
        patient=standing.subject,
        managingOrganization={"display": case.team},
        period={"start": at(case.opened_at), **({"end": at(case.closure.at)} if case.closure else {})},
        careManager=staff(case.owner) if case.owner else None,
        team=[reference("CareTeam", standing.id("team"))] if case.care_team else None,
    )


def care_plan(standing: Standing) -> Iterator[Resource]:
    case, plan = standing.case, standing.case.plan
    if plan is None:
        return
    waits = case.proposed is not None
    yield standing.make(
        "CarePlan",
        "plan",
        text={"status": "generated", "div": _narrative(plan)},
        status="completed" if case.closed else "active",
        intent="plan",
        category=[concept("Care plan", (CATEGORY, "assess-plan"))],
        title=f"Care plan, version {plan.version}" + (", a change waits for approval" if waits else ""),
        subject=standing.subject,
        author=staff(case.owner) if case.owner else None,
        goal=[reference("Goal", standing.id(f"goal-{goal.id}")) for goal in plan.goals if goal.id],
        activity=list(_activities(standing, plan)),
        note=[{"text": f"Barrier: {b.description} - {b.response}"} for b in plan.barriers],
    )


def _activities(standing: Standing, plan: Plan) -> Iterator[dict[str, object]]:
    for one in plan.interventions:
        task = next((t for t in standing.case.open_tasks if one.id and t.intervention == one.id), None)
        if task is not None:
            yield {"reference": reference("Task", standing.id(task.id))}
            continue
        begun = "in-progress" if one.status == "in-progress" else "not-started"
        status = "completed" if one.status.over else begun
        said = one.title or (standing.program.tasks[one.task].title if one.task in standing.program.tasks else "")
        kind = "self-care" if one.kind is InterventionKind.SELF_CARE else one.kind.value
        yield {"detail": {"status": status, "code": concept(said), "description": f"{kind}: {said}"}}


def _narrative(plan: Plan) -> str:
    said = [f"<li>{escape(g.description)}: {escape(g.target)} ({escape(g.measure)})</li>" for g in plan.goals]
    return f'<div xmlns="http://www.w3.org/1999/xhtml"><ul>{"".join(said)}</ul></div>'


def goals(standing: Standing) -> Iterator[Resource]:
    plan = standing.case.plan
    problems = {p.id: p for p in plan.problems} if plan else {}
    for goal in plan.goals if plan else ():
        if goal.id is None:
            continue
        yield standing.make(
            "Goal",
            f"goal-{goal.id}",
            lifecycleStatus=LIFECYCLE.get(goal.achievement, "active"),
            achievementStatus=concept(goal.achievement, (f"{HL7}/goal-achievement", goal.achievement.value)),
            description=concept(goal.description),
            subject=standing.subject,
            target=[{"measure": concept(goal.measure), "detailString": goal.target, "dueDate": str(goal.due_on)}],
            addresses=[{"display": problems[name].description} for name in goal.problems if name in problems],
        )


def clinical(status: str) -> dict[str, object]:
    return concept(status, (f"{HL7}/condition-clinical", status))


def problems(standing: Standing) -> Iterator[Resource]:
    plan = standing.case.plan
    for problem in plan.problems if plan else ():
        if problem.id is None:
            continue
        status = "resolved" if problem.resolved else "active"
        coding = ((problem.system or ICD10, problem.code),) if problem.code else ()
        yield standing.make(
            "Condition",
            f"problem-{problem.id}",
            clinicalStatus=clinical(status),
            category=[concept("Problem", (f"{HL7}/condition-category", "problem-list-item"))],
            code=concept(problem.description, *coding),
            subject=standing.subject,
        )


def tasks(standing: Standing) -> Iterator[Resource]:
    for task in standing.case.tasks:
        yield _task(standing, task)


def _task(standing: Standing, task: Task) -> Resource:
    clock = standing.case.clock(task.clock_id)
    said = "awaiting co-signature" if task.status is TaskStatus.AWAITING_COSIGN else None
    overdue = clock is not None and clock.missed_at is not None and task.open
    says = "overdue" if overdue else said
    return standing.make(
        "Task",
        task.id,
        status=STATUS[task.status],
        businessStatus=concept(says) if says else None,
        intent="plan" if task.from_plan is not None else "order",
        priority="urgent" if task.urgent else "routine",
        code=concept(task.title, (f"{OURS}/task", task.type)),
        description=task.title,
        focus=reference("CarePlan", standing.id("plan")) if task.from_plan is not None else None,
        **{"for": standing.subject},
        owner=staff(owner) if (owner := task.assignee or standing.case.owner) else None,
        restriction={"period": {"end": at(clock.due_at)}} if clock is not None else None,
    )


def service_requests(standing: Standing) -> Iterator[Resource]:
    for referral in standing.case.referrals:
        policy = standing.program.referrals.get(referral.type)
        yield standing.make(
            "ServiceRequest",
            f"referral-{referral.id}",
            status=REFERRAL[referral.status],
            intent="order",
            category=[concept(policy.title if policy else referral.type)],
            code=concept(policy.title if policy else referral.type, (f"{OURS}/referral", referral.type)),
            subject=standing.subject,
            requester=staff(standing.case.owner) if standing.case.owner else None,
            performer=[{"display": referral.recipient}],
            note=[{"text": f"{referral.status}; sent {referral.routed} times"}] if referral.routed else None,
        )


def fulfilments(standing: Standing) -> Iterator[Resource]:
    """What the recipient of each referral that was sent works on."""
    for referral in standing.case.referrals:
        if referral.status not in fhir_referral_task.STATUS:
            continue
        clock = standing.case.clock(referral.clock_id) if referral.clock_id else None
        yield standing.make(
            "Task",
            f"{fhir_referral_task.PART}{referral.id}",
            status=fhir_referral_task.STATUS[referral.status],
            intent="order",
            code=concept("Fulfill the focal request", (TASK_CODE, "fulfill")),
            focus=reference("ServiceRequest", standing.id(f"referral-{referral.id}")),
            **{"for": standing.subject},
            requester=staff(standing.case.owner) if standing.case.owner else None,
            owner={"display": referral.recipient},
            restriction={"period": {"end": at(clock.due_at)}} if clock is not None else None,
        )


def risk(standing: Standing) -> Iterator[Resource]:
    found = standing.case.risk
    if found is None:
        return
    yield standing.make(
        "RiskAssessment",
        "risk",
        status="final",
        subject=standing.subject,
        prediction=[{"qualitativeRisk": concept(found.tier, (f"{HL7}/risk-probability", found.tier.value))}],
        note=[{"text": reason} for reason in found.reasons],
    )


def consent(standing: Standing) -> Iterator[Resource]:
    given = standing.case.consent
    if given is None:
        return
    scopes = given.scopes if given.scopes is not None else standing.program.consent.covers
    period = {"start": at(given.given_at), **({"end": str(given.until)} if given.until else {})}
    shares = [{"type": "permit", "code": [concept(f"{s.with_whom}: {s.purpose}")]} for s in given.shares]
    yield standing.make(
        "Consent",
        "consent",
        status="active" if given.in_force else "inactive",
        scope=concept("Treatment", (f"{HL7}/consentscope", "treatment")),
        category=[concept("Consent to case management", (LOINC, "59284-0"))],
        patient=standing.subject,
        dateTime=at(given.given_at),
        policyRule=concept("Opt in", (ACT_CODE, "OPTIN")),
        provision={
            "type": "permit",
            "period": period,
            "code": [concept(scope) for scope in scopes],
            **({"provision": shares} if shares else {}),
        },
    )


def care_team(standing: Standing) -> Iterator[Resource]:
    members = standing.case.care_team
    if members:
        yield standing.make(
            "CareTeam",
            "team",
            status="active",
            subject=standing.subject,
            participant=[
                {"role": [concept(m.role)], "member": {"display": m.reference}, "period": {"start": str(m.since)}}
                for m in members
            ],
        )


def flags(standing: Standing) -> Iterator[Resource]:
    case = standing.case
    for flag in case.flags:
        yield standing.make(
            "Flag", f"flag-{flag.id}", status="active", code=concept("Raised for a lead"), subject=standing.subject
        )
    if case.crisis is not None:
        period = {"start": at(case.crisis.since)}
        code = concept("In crisis")
        part = f"crisis-{case.crisis.id}"
        yield standing.make("Flag", part, status="active", code=code, subject=standing.subject, period=period)


def stays(standing: Standing) -> Iterator[Resource]:
    """Stays and visits: one encounter each, of all messages that tell of it and were not taken back."""
    told: dict[str, list[Transition]] = {}
    for one in sorted(standing.case.transitions, key=lambda t: (t.occurred_at, t.id)):
        told.setdefault(one.encounter or one.id, []).append(one)
    for name, messages in told.items():
        yield _stay(standing, name, messages)


def _stay(standing: Standing, name: str, told: list[Transition]) -> Resource:
    """Whoever was told to be discharged is not in hospital, in whatever order the messages came."""
    began = [one for one in told if one.event != "discharge"]
    ended = [one for one in told if one.event == "discharge"]
    start = {"start": _when(standing, began[0])} if began else {}
    end = {"end": _when(standing, ended[-1])} if ended else {}
    inside = not ended and any(one.event == "admission" for one in told)
    disposition = next((one.disposition for one in reversed(ended) if one.disposition), None)
    return standing.make(
        "Encounter",
        f"stay-{name}",
        status="in-progress" if inside else "finished",
        **{"class": {"system": ACT_CODE, "code": SETTINGS.get(told[-1].setting, "AMB")}},
        type=[concept(told[-1].setting)],
        subject=standing.subject,
        period={**start, **end},
        hospitalization={"dischargeDisposition": concept(disposition)} if disposition else None,
    )


def _when(standing: Standing, told: Transition) -> str:
    """The time, or the day in the case's own zone where no more is known."""
    day = told.occurred_at.astimezone(ZoneInfo(standing.case.zone)).date()
    return str(day) if told.whole_day else at(told.occurred_at)


Builder = Callable[[Standing], Iterator[Resource]]
BUILDERS: tuple[tuple[Builder, tuple[str, ...]], ...] = (  # each with the parts of the case that it needs
    (episode, ("stage", "consent", "closure", "owner", "team", "care_team")),
    (care_plan, ("plan", "proposed", "tasks", "closure", "owner")),
    (goals, ("plan",)),
    (problems, ("plan",)),
    (tasks, ("tasks", "clocks", "owner")),
    (service_requests, ("referrals", "owner")),
    (fulfilments, ("referrals", "owner", "clocks")),
    (risk, ("risk",)),
    (consent, ("consent",)),
    (care_team, ("care_team",)),
    (flags, ("flags", "crisis")),
    (stays, ("transitions",)),
)
ENDED: dict[str, tuple[str, object, object]] = {  # what an open one that the case has no more turns into
    "Goal": ("lifecycleStatus", "active", "cancelled"),
    "Condition": ("clinicalStatus", clinical("active"), clinical("inactive")),
    "Flag": ("status", "active", "inactive"),
    "CareTeam": ("status", "active", "inactive"),
}
