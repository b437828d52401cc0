"""A command that is being written at the desk: its case, what it is about, and what its form begins with."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request

from api import case_history, next_steps, timeline
from api.forms import SectionForm
from api.problems import Refusal
from api.reading import OnRecord, read_case
from api.system import System
from desk.names import name_of
from desk.paging import asked_page
from desk.session import Guest
from domain.case.command import Command
from domain.commands import FROM_PEOPLE
from domain.next_steps import Blocked, Choice, NextSteps, Possible

KINDS: dict[str, type[Command]] = {command.kind: command for command in FROM_PEOPLE}
PEOPLE = ("owner", "to", "assignee", "attendee", "person", "responsible", "interventions.responsible")
TOLD_OF = {  # the field that names something, and the events that say what that is
    "approval_id": ("approval-requested", "plan-proposed"),
    "flag_id": ("flag-raised",),
    "referral_id": ("referral-drafted",),
    "action_id": ("corrective-action-opened",),
    "access_id": ("access-broken",),
    "guided_id": ("guided-opened", "guided-step-written"),
    "appointment_id": ("appointment-made", "appointment-moved"),
}
IN_CRISIS = ("record-disposition", "end-crisis")


@dataclass
class Draft:
    """A command being written in a browser: its case, its form, and what became of it when it was sent."""

    case_id: str
    command: type[Command]
    found: OnRecord
    steps: NextSteps
    name: str | None
    body: dict[str, Any]
    key: str
    seen: int
    named: Mapping[str, Sequence[Choice]] = field(default_factory=dict)
    staff: list[tuple[str, str]] = field(default_factory=list)
    why_not: str | None = None
    says_of: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    refusal: Refusal | None = None
    check: bool = False
    section: SectionForm | None = None

    @property
    def possible(self) -> Possible | None:
        return next((one for one in self.steps.possible if one.command == self.command.kind), None)

    @property
    def blocked(self) -> Blocked | None:
        return next((one for one in self.steps.blocked if one.command == self.command.kind), None)

    @property
    def choices(self) -> dict[str, list[tuple[str, str]]]:
        """What its fields may name: what the case would take now, else all there is; people by their names."""
        given = self.possible.choices if self.possible else {}
        found = {name: [(one.id, one.title) for one in some] for name, some in {**self.named, **given}.items()}
        names = dict(self.staff)
        people = {name: self.staff for name in PEOPLE if name not in found and self.staff}
        titled = {
            name: [(value, names.get(value, title)) for value, title in some] if name in PEOPLE else some
            for name, some in found.items()
        }
        return {**people, **titled}

    @property
    def about(self) -> str:
        """The ids that the command names: what is typed about one task is not about another."""
        return "-".join(str(self.body[name]) for name in sorted(self.body) if name.endswith("_id"))

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.found.case.zone)


async def begun(request: Request, guest: Guest, case_id: str, kind: str) -> Draft:
    """The command with its case. Raises 403 where it is not hers, 404 for one that there is not."""
    parts: System = request.app.state.system
    if kind not in KINDS:
        raise Refusal(404, "UnknownCommand", "there is no such command")
    found = await read_case(parts, guest.who, case_id)
    if not parts.policy.may(guest.who.role, kind, found.ways):
        raise Refusal(403, "NotPermitted", "this is not yours to do in this case")
    steps = NextSteps(stage=found.case.stage, stage_needs=(), possible=(), blocked=(), closing=())
    if parts.policy.may(guest.who.role, "read-next-steps", found.ways):
        steps = await next_steps.read_next_steps(case_id, parts, guest.who)
    name = await name_of(parts, found.case)
    named, _ = await next_steps.about(parts, guest.who, found, KINDS[kind], {}) if found.whole else ({}, None)
    key, seen = uuid.uuid4().hex, found.case.seq
    draft = Draft(case_id, KINDS[kind], found, steps, name, {}, key=key, seen=seen, named=named)
    draft.staff = guest.names.choices()
    return draft


async def look_at(request: Request, guest: Guest, draft: Draft) -> None:
    """What the command is about, in sentences, and why the case would not take it for what the address names."""
    parts: System = request.app.state.system
    if not parts.policy.may(guest.who.role, "read-timeline", draft.found.ways):
        return
    ids = {name: str(value) for name, value in draft.body.items() if name.endswith("_id")}
    _, draft.why_not = await next_steps.about(parts, guest.who, draft.found, draft.command, ids)
    kinds = [kind for name in ids for kind in TOLD_OF.get(name, ())]
    kinds += ["crisis-raised", "crisis-reported"] if draft.command.kind in IN_CRISIS else []
    entry = draft.body.get("entry") if draft.command.kind == "correct-entry" else None
    if entry is None and not kinds:
        return
    asked: dict[str, Any] = {"language": guest.session.language, "order": "newest"}
    asked |= {"kind": kinds} if entry is None else {"after_seq": max(0, int(entry) - 1), "order": "oldest"}
    wanted = timeline.TimelineFilter.model_validate(asked)
    page_of = await asked_page(None, 50)
    found = await timeline.read_timeline(draft.case_id, parts, guest.who, page_of, wanted, request)
    items: list[timeline.TimelineItem] = found.items
    if entry is not None:
        together = items[0].command_id if items and items[0].seq == entry else None
        told = [item for item in items if item.command_id == together]
    else:
        told = [
            item for item in items if not ids or any(f'"{one}"' in item.model_dump_json() for one in ids.values())
        ]
    draft.says_of = [guest.names.within(item.said) for item in told if item.said]


async def as_it_stands(request: Request, guest: Guest, draft: Draft) -> dict[str, Any]:
    """What a form begins with that replaces something: the plan, the consent, the safety plan as it stands."""
    parts, case = request.app.state.system, draft.found.case
    if draft.command.kind in ("amend-plan", "revise-plan") and case.plan is not None:
        return case.plan.model_dump(mode="json", exclude={"version"}, exclude_none=True)
    if draft.command.kind == "record-consent" and case.consent is not None:
        return case.consent.model_dump(mode="json", exclude={"given_at", "withdrawn_at"}, exclude_none=True)
    if draft.command.kind == "write-safety-plan":
        found = await case_history.read_list(
            "safety-plans", draft.case_id, parts, guest.who, await asked_page(None, 1)
        )
        names = set(draft.command.model_fields)
        return {n: v for n, v in found.items[0].model_dump().items() if n in names and v} if found.items else {}
    if draft.command.kind == "record-transition":
        return {"event_id": f"desk-{draft.key[:12]}"}
    return {}
