"""What may be done now: which commands a case would take from this person, which it would refuse, and why.

Each command is tried on the case as it stands: with what it must have of its example, the ids that the case has
and the words of its programme. What it would do is thrown away; a refusal of the body alone is none of the case's.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from domain.case.case import Case
from domain.case.command import Command, Draft, Moment, OtherCaseNeeded, SamePersonNeeded, TimelineNeeded
from domain.case.open_parts import OnPathway
from domain.commands import FROM_PEOPLE
from domain.programs.pathway import Pathway
from domain.programs.policies import Subject
from domain.programs.program import Stage
from domain.steps.approvals import granted
from domain.steps.closure import CloseCase, StillOpen, still_open
from domain.steps.planning import missing_signatures
from domain.steps.stages import missing_for_planning
from domain.values import Actor, Invalid, Line, Rejected, Slug, Text, Value

MOST_TRIED = 30
NEEDS_MORE = (TimelineNeeded, OtherCaseNeeded, SamePersonNeeded)  # what only settling it can tell


class Choice(Value):
    """Something of the case that a field of a command may name."""

    id: str
    title: str


class Possible(Value):
    """A command that the case would take now; `choices` are what its fields may name: ids, and words."""

    command: Slug
    says: Line
    choices: dict[str, tuple[Choice, ...]] = {}


class Blocked(Value):
    """A command that the case would refuse now, why, and what it lacks for it."""

    command: Slug
    says: Line
    code: str
    detail: Text
    missing: tuple[str, ...] = ()


class Closing(Value):
    """A reason to close the case, and what is still open for it."""

    reason: Slug
    title: Line
    missing: tuple[str, ...]


class NextSteps(Value):
    """What may be done in a case now, what may not, and what the stage and a closure still need."""

    stage: Stage
    stage_needs: tuple[str, ...]
    possible: tuple[Possible, ...]
    blocked: tuple[Blocked, ...]
    closing: tuple[Closing, ...]


def _titled(items: Iterable[Any]) -> tuple[Choice, ...]:
    return tuple(Choice(id=i.id, title=str(getattr(i, "title", None) or i.id)) for i in items)


# What the fields that name something of the case may name.
CHOICES: dict[str, Callable[[Case], tuple[Choice, ...]]] = {
    "task_id": lambda c: _titled(c.open_tasks),
    "clock_id": lambda c: _titled(c.running),
    "escalation_id": lambda c: tuple(
        Choice(id=k.escalation_id, title=k.title) for k in c.running if k.missed_at is not None
    ),
    "approval_id": lambda c: tuple(Choice(id=a.id, title=f"{a.subject}: {a.of or 'plan'}") for a in c.approvals),
    "referral_id": lambda c: tuple(Choice(id=r.id, title=f"{r.type} ({r.status})") for r in c.referrals),
    "appointment_id": lambda c: tuple(
        Choice(id=a.id, title=f"{a.title}, {a.starts_at:%Y-%m-%d %H:%M}Z") for a in c.appointments
    ),
    "pathway_id": lambda c: tuple(Choice(id=p.id, title=p.pathway) for p in c.pathways),
    "flag_id": lambda c: _titled(c.flags),
    "action_id": lambda c: _titled(c.corrective_actions),
    "access_id": lambda c: tuple(Choice(id=a.id, title=f"by {a.by}") for a in c.accesses),
    "guided_id": lambda c: tuple(Choice(id=g.id, title=g.procedure) for g in c.guided),
    "assistance_id": lambda c: _titled(c.assistance),
    "member_id": lambda c: tuple(Choice(id=m.id, title=m.role) for m in c.care_team),
    "goal": lambda c: tuple(
        Choice(id=g.id, title=g.description) for g in (c.plan.goals if c.plan else ()) if g.id
    ),
    "intervention": lambda c: tuple(
        Choice(id=i.id, title=i.title or i.task or "") for i in (c.plan.interventions if c.plan else ()) if i.id
    ),
    "quarantined_id": lambda c: tuple(Choice(id=s.id, title=s.kind) for s in c.set_aside),
}


def _words(words: Mapping[str, Any]) -> tuple[Choice, ...]:
    """The words of a part of the programme, each with its title where it has one."""
    titles = {w: said if isinstance(said, str) else getattr(said, "title", w) for w, said in words.items()}
    return tuple(Choice(id=word, title=title) for word, title in titles.items())


def _plain(words: Iterable[Any]) -> tuple[Choice, ...]:
    return tuple(Choice(id=str(word), title=str(word)) for word in words)


def _settings(draft: Draft) -> tuple[Choice, ...]:
    return _plain(sorted({name.rpartition("-")[0] for name in draft.program.transitions}))


def _instruments(draft: Draft) -> tuple[Choice, ...]:
    """Those of the programme first, then all that there are; the title is the version."""
    mine = {use.name: use.version for use in draft.program.instruments}
    others = {tool.name: tool.version for tool in draft.moment.rulebook.instruments}
    return _words({**mine, **{name: version for name, version in others.items() if name not in mine}})


def _colleagues(draft: Draft) -> tuple[Choice, ...]:
    """Who of the team may be given work, and is there."""
    here = [m for m in draft.staff.members if m.team == draft.case.team and m.available(draft.now)]
    return tuple(Choice(id=m.subject, title=m.role) for m in here if m.subject != draft.actor.subject)


def _on(draft: Draft) -> list[tuple[OnPathway, Pathway]]:
    """The pathways that the person is on."""
    known = draft.program.pathways
    return [(on, known[on.pathway]) for on in draft.case.pathways if on.pathway in known]


def _milestones(draft: Draft) -> tuple[Choice, ...]:
    return _words({m.name: m for on, policy in _on(draft) for m in policy.milestones if m.name not in on.reached})


def _variances(draft: Draft) -> tuple[Choice, ...]:
    return _words({name: says for _, policy in _on(draft) for name, says in policy.variances.items()})


def _template_parts(draft: Draft) -> tuple[Choice, ...]:
    """The goals and interventions of all templates, each with its template."""
    found: dict[str, str] = {}
    for template in draft.program.plan_templates.values():
        found |= {goal.id: f"{template.title}: {goal.description}" for goal in template.goals}
        found |= {one.id: f"{template.title}: {one.title or one.task}" for one in template.interventions}
    return _words(found)


def _versions(draft: Draft) -> tuple[Choice, ...]:
    mine = draft.case.program
    there = [p for p in draft.moment.rulebook.programs if p.program == mine]
    return _plain(p.version for p in there if p.version != draft.case.program_version)


# What the fields that name something of the programme, or somebody, may name.
WORDS: dict[tuple[str, str], Callable[[Draft], tuple[Choice, ...]]] = {
    ("complete-screening", "reason"): lambda d: _words(d.program.decline),
    ("record-assessment", "sections.name"): lambda d: _words({s.name: s for s in d.program.sections}),
    ("record-score", "instrument"): _instruments,
    ("agree-plan", "interventions.task"): lambda d: _words(d.program.tasks),
    ("agree-plan", "goals.template"): lambda d: _words({n: g.description for n, g in d.program.goals.items()}),
    ("apply-plan-template", "template"): lambda d: _words(
        {n: t.title for n, t in d.program.plan_templates.items()}
    ),
    ("start-pathway", "pathway"): lambda d: _words(d.program.pathways),
    ("reach-milestone", "milestone"): _milestones,
    ("reach-milestone", "variance"): _variances,
    ("apply-plan-template", "choose"): _template_parts,
    ("sign-plan", "signer"): lambda d: _plain(d.program.plan.signatures if d.program.plan else ()),
    ("add-task", "task"): lambda d: _words(d.program.tasks),
    ("assign-task", "assignee"): _colleagues,
    ("reassign-case", "owner"): _colleagues,
    ("offer-transfer", "to"): _colleagues,
    ("record-transition", "setting"): _settings,
    ("record-observation", "indicator"): lambda d: _words(d.program.indicators),
    ("record-disposition", "disposition"): lambda d: _words(c.dispositions if (c := d.program.crisis) else {}),
    ("draft-referral", "type"): lambda d: _words(d.program.referrals),
    ("open-guided-record", "procedure"): lambda d: _words(d.program.procedures),
    ("request-approval", "subject"): lambda d: _plain(s for s in d.program.approvals if s is not Subject.PLAN),
    ("move-to-program-version", "version"): _versions,
}
NEEDS_APPROVAL = {"override-risk-tier": Subject.TIER_OVERRIDE}


@dataclass(frozen=True)
class Asker:
    """Who asks, and which commands her role and her way to the case let her send."""

    actor: Actor
    may: Callable[[str], bool]


def next_steps(case: Case, asker: Asker, moment: Moment) -> NextSteps:
    """What this person may do in a case now. `moment` has the directory, since licences count."""
    draft = Draft(moment, asker.actor, "asked", case)
    closing = () if case.closed else tuple(_closing(draft))
    mine = [command for command in FROM_PEOPLE if asker.may(command.kind)]
    found = [_try(command, case, asker.actor, moment) for command in mine if command is not CloseCase]
    if CloseCase in mine and not case.closed:
        found.append(_close(closing))
    return NextSteps(
        stage=case.stage,
        stage_needs=() if case.closed else tuple(_stage_needs(draft)),
        possible=tuple(one for one in found if isinstance(one, Possible)),
        blocked=tuple(one for one in found if isinstance(one, Blocked)),
        closing=closing,
    )


def choices_of(command: type[Command], case: Case, asker: Asker, moment: Moment) -> dict[str, tuple[Choice, ...]]:
    """What the fields of a command may name in this case, whether it would take the command now or not."""
    draft = Draft(moment, asker.actor, "asked", case)
    words = {field: words(draft) for (kind, field), words in WORDS.items() if kind == command.kind}
    ids = {name: CHOICES[name](case) for name in command.model_fields if name in CHOICES}
    closing = {"reason": tuple(Choice(id=n, title=c.title) for n, c in draft.program.closure.items())}
    found = {**ids, **words, **(closing if command is CloseCase else {})}
    return {name: some for name, some in found.items() if some}


def why_not(
    command: type[Command], body: Mapping[str, Any], case: Case, asker: Asker, moment: Moment
) -> str | None:
    """Why the case would refuse a command with what is known of its body; None where it might take it."""
    needed = {name: command.example[name] for name in command.model_fields if name in command.example}
    try:
        refusal = _refusal(command, {**needed, **body}, case, asker.actor, moment)
    except ValueError:
        return None
    return refusal.detail if refusal is not None else None


def _close(closing: tuple[Closing, ...]) -> Possible | Blocked:
    """A case closes where nothing is open for one of the reasons at least."""
    said = {"command": CloseCase.kind, "says": CloseCase.says}
    reasons = tuple(Choice(id=c.reason, title=c.title) for c in closing if not c.missing)
    if reasons:
        return Possible(**said, choices={"reason": reasons})
    return Blocked(**said, code=StillOpen.__name__, detail="`closing` says what is open for each reason")


def _try(command: type[Command], case: Case, actor: Actor, moment: Moment) -> Possible | Blocked | None:
    """None where there is nothing that the command could be about."""
    said: dict[str, Any] = {"command": command.kind, "says": command.says}
    if case.closed and not command.when_closed:
        return Blocked(**said, code="CaseClosed", detail="reopen the case first, while its window lasts")
    draft = Draft(moment, actor, "asked", case)
    words = {field: words(draft) for (kind, field), words in WORDS.items() if kind == command.kind}
    required = [name for name, field in command.model_fields.items() if field.is_required()]
    if any(not words[name] for name in required if name in words):
        return Blocked(**said, code="NotInProgram", detail="this programme, or team, has none")
    if lacks := _lacks_approval(command, draft):
        detail = "send request-approval, and have it approved"
        return Blocked(**said, code="ApprovalMissing", detail=detail, missing=(lacks,))
    body = {name: command.example[name] for name in required if name in command.example}
    body |= {name: _typed(command, name, words[name][0].id) for name in required if name in words}
    field = next((name for name in required if name in CHOICES), None)
    if field is None:
        refusal = _refusal(command, body, case, actor, moment)
        return Possible(**said, choices=words) if refusal is None else _blocked(said, refusal)
    return _try_each(said, command, field, body, words, draft)


def _try_each(
    said: dict[str, Any],
    command: type[Command],
    field: str,
    body: dict[str, Any],
    words: dict[str, tuple[Choice, ...]],
    draft: Draft,
) -> Possible | Blocked | None:
    """What of the case the command may name now; blocked where it may name none of what there is."""
    case, actor, moment = draft.case, draft.actor, draft.moment
    offered = CHOICES[field](case)[:MOST_TRIED]
    refusals = {choice: _refusal(command, {**body, field: choice.id}, case, actor, moment) for choice in offered}
    taken = tuple(choice for choice, refusal in refusals.items() if refusal is None)
    if taken:
        return Possible(**said, choices={**words, field: taken})
    first = next((refusal for refusal in refusals.values() if refusal is not None), None)
    return _blocked(said, first) if first is not None else None


def _lacks_approval(command: type[Command], draft: Draft) -> str | None:
    subject = NEEDS_APPROVAL.get(command.kind)
    lacking = subject in draft.program.approvals and subject and granted(draft.case, subject) is None
    return f"approval of {subject}" if lacking else None


def _typed(command: type[Command], name: str, word: str) -> JsonValue:
    return int(word) if command.model_fields[name].annotation is int else word


def _blocked(said: dict[str, Any], refusal: Rejected) -> Blocked:
    return Blocked(**said, code=refusal.code, detail=refusal.detail, missing=refusal.missing)


def _refusal(
    command: type[Command], body: dict[str, Any], case: Case, actor: Actor, moment: Moment
) -> Rejected | None:
    """Why the case would refuse it; None where it would not, or where only the body's own words are at fault."""
    try:
        command.model_validate(body).decide(Draft(moment, actor, "asked", case))
    except Invalid:
        return None
    except Rejected as refusal:
        return refusal
    except NEEDS_MORE:
        return None
    return None


def _stage_needs(draft: Draft) -> list[str]:
    """What the case's stage still needs before the next one."""
    case, program = draft.case, draft.program
    consents = not program.consent.required or (case.consent is not None and case.consent.in_force)
    plan_tasks = [t for t in case.open_tasks if t.from_plan is not None]
    needs = {
        Stage.SCREENING: ([] if consents else ["consent"]) + ["complete-screening"],
        Stage.ASSESSMENT: [*missing_for_planning(draft), "the risk tier"],
        Stage.PLANNING: ["the approval of the plan" if case.proposed else "a plan"],
        Stage.IMPLEMENTATION: [f"task {t.id}: {t.title}" for t in plan_tasks],
        Stage.FOLLOW_UP: [*missing_signatures(case, program.plan, draft.now), "evaluate-outcome, when it is time"],
        Stage.CLOSURE: ["close, for one of the reasons in `closing`"],
    }
    return needs[case.stage]


def _closing(draft: Draft) -> list[Closing]:
    reasons = draft.program.closure.items()
    return [Closing(reason=n, title=c.title, missing=tuple(still_open(draft, c.needs))) for n, c in reasons]
