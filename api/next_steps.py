"""What may be done in a case now, and why a promise of it is there."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.commands import CaseId
from api.problems import BODY_LIMIT, Refusal, responses
from api.reading import OnRecord, read_case
from api.system import Principal, PrincipalDep, System, SystemDep
from api.work import Notified, notices_of
from domain.case.case import Case
from domain.case.command import Command, Draft, Moment
from domain.case.event import Entry, Timeline
from domain.case.staff import Directory
from domain.clocks.clock import Climb, Clock, ClockPolicy, NextStep, Rung, WaitsFor
from domain.next_steps import Asker, Choice, NextSteps, choices_of, next_steps, why_not
from domain.promises.escalation import is_urgent
from domain.promises.keeping import Keeping, keeping
from domain.values import Slug
from infra.directory import directory, team_of
from infra.timeline import timeline_of

router = APIRouter(tags=["cases"], max_body_size=BODY_LIMIT)


class StandsOn(BaseModel):
    """An entry of the timeline that a promise stands on, or that has changed it."""

    seq: int
    at: datetime
    kind: str
    actor: str
    reason: str | None = None
    kept_at: datetime | None = Field(default=None, description="When what kept it was done")


class TellsNext(BaseModel):
    """What the ladder does next if nobody acts."""

    at: datetime
    step: str
    rank: str | None = Field(default=None, description="Who is told then")
    people: tuple[str, ...] = Field(default=(), description="Whom that would find today")


class WasTold(BaseModel):
    """A rung that was climbed, and what became of the notices."""

    at: datetime
    rank: str
    people: tuple[str, ...]
    vacant: tuple[str, ...]
    notices: list[Notified]


class Why(BaseModel):
    """Why a promise is there and why then; what keeps it; who was told and who is told next."""

    clock: Clock
    rule: ClockPolicy | None = Field(description="The programme's rule as it holds for this case today")
    path: str | None = Field(description="Where the rule stands in the programme's file")
    narrowed_by: str | None = Field(description="Whose number holds instead of the programme's")
    responsible: str | None
    kept_by: Keeping | None = Field(description="The command that keeps it")
    stands_on: list[StandsOn]
    next: TellsNext | None
    ladder: list[Rung] = Field(description="Whom it tells, and when before the deadline or after the rung before")
    told: list[WasTold]


@router.get("/cases/{case_id}/next", responses=responses(401, 403, 404, 503))
async def read_next_steps(case_id: CaseId, parts: SystemDep, who: PrincipalDep) -> NextSteps:
    """What you may do in this case now, with which ids and words; what it would refuse, and what lacks for it."""
    found = await read_case(parts, who, case_id, "read-next-steps")
    moment = await _moment(parts, who, found.case)
    return next_steps(found.case, _asker(parts, who, found), moment)


async def about(
    parts: System, who: Principal, found: OnRecord, command: type[Command], body: dict[str, Any]
) -> tuple[dict[str, tuple[Choice, ...]], str | None]:
    """What the fields of a command may name in a case that was read; why it would be refused with this body."""
    moment, asker = await _moment(parts, who, found.case), _asker(parts, who, found)
    named = choices_of(command, found.case, asker, moment)
    return named, why_not(command, body, found.case, asker, moment) if body else None


def _asker(parts: System, who: Principal, found: OnRecord) -> Asker:
    return Asker(who.actor, lambda action: parts.policy.may(who.role, action, found.ways))


@router.get("/cases/{case_id}/clocks/{clock_id}/why", responses=responses(401, 403, 404, 503))
async def explain_promise(case_id: CaseId, clock_id: Slug, parts: SystemDep, who: PrincipalDep) -> Why:
    """Why this promise is there, why it is due then, what it stands on, and who hears of it."""
    found = await read_case(parts, who, case_id, "explain-promise")
    async with parts.connection() as connection:
        timeline = await connection.run_sync(lambda c: timeline_of(c, parts.keys, case_id))
    clock, case = _as_it_was(found.case, timeline, clock_id)
    draft = Draft(await _moment(parts, who, case), who.actor, "asked", case)
    rule = draft.program.policies.get(clock.policy or "")
    notices = await notices_of(parts, who, case_id, clock_id)
    return Why(
        clock=clock,
        rule=rule,
        path=clock.policy,
        narrowed_by=clock.narrowed_by,
        responsible=case.responsible_for(clock),
        kept_by=_kept_by(clock, case),
        stands_on=_stands_on(timeline.entries, clock_id),
        next=None if case.closed else _next(draft, clock),
        ladder=list(draft.ladder(clock).rungs),
        told=[_climbed(climb, notices) for climb in clock.climbs],
    )


def _kept_by(clock: Clock, case: Case) -> Keeping | None:
    if clock.settled:
        return None
    if clock.pause is not None and clock.pause.open_end is WaitsFor.CONSENT:
        return Keeping(command="record-consent")
    return keeping(clock.kind, clock.about, clock.kept_by, case.stage)


async def _moment(parts: System, who: Principal, case: Case) -> Moment:
    async with parts.connection() as connection:
        staff = await connection.run_sync(lambda c: directory(c, who.tenant, [case], {}, who.sub))
        team = await connection.run_sync(lambda c: team_of(c, who.tenant, case.team))
    known = {member.subject: member for member in (*staff.members, *team)}
    return Moment(datetime.now(UTC), parts.rulebook, Directory(members=tuple(known.values())))


def _as_it_was(case: Case, timeline: Timeline, clock_id: str) -> tuple[Clock, Case]:
    """A promise that runs, or one that was settled as it was then. Raises 404 for one that never was."""
    if (clock := case.clock(clock_id)) is not None:
        return clock, case
    then = timeline.begins
    last: tuple[Clock, Case] | None = None
    for entry in timeline.entries:
        then = entry.apply(then)
        if (clock := then.clock(clock_id)) is not None:
            last = clock, then
    if last is None:
        raise Refusal(404, "UnknownPromise", "this case never had such a promise")
    return last


def _stands_on(entries: Sequence[Entry], clock_id: str) -> list[StandsOn]:
    """The entry that the command began with which made it, and all that has touched it since."""
    about = [e for e in entries if _is_about(e, clock_id)]
    began = next((e for e in entries if about and e.command_id == about[0].command_id), None)
    first = [_shown(began, None)] if began is not None and began not in about else []
    return first + [_shown(e, str(e.data["reason"]) if e.data.get("reason") else None) for e in about]


def _is_about(entry: Entry, clock_id: str) -> bool:
    said: Any = entry.data
    again = [*(said.get("again") or {}).get("clocks", ()), *said.get("clocks", ())]
    named = [said.get("clock") or {}, *(one for one in again if isinstance(one, dict))]
    return said.get("clock_id") == clock_id or any(one.get("id") == clock_id for one in named)


def _shown(entry: Entry, reason: str | None) -> StandsOn:
    said = {"seq": entry.seq, "at": entry.at, "kind": entry.kind, "actor": entry.actor.subject}
    return StandsOn.model_validate({**said, "reason": reason, "kept_at": entry.data.get("kept_at")})


def _next(draft: Draft, clock: Clock) -> TellsNext | None:
    ladder = draft.ladder(clock)
    if clock.pause is not None and clock.pause.until is not None:
        return TellsNext(at=clock.pause.until, step="resume")
    step: NextStep | None = clock.next_step(ladder, draft.calendar(clock))
    if step is None:
        return None
    rank = ladder.rungs[ladder.first_after if step.rung is None else step.rung].tell
    case = draft.case
    people = draft.staff.find(rank, case.responsible_for(clock), case.team, draft.now) if rank else ()
    if is_urgent(case, clock):
        people = draft.staff.with_duty(people, case.team, draft.now)
    return TellsNext(at=step.at, step=step.step, rank=rank, people=people)


def _climbed(climb: Climb, notices: list[Notified]) -> WasTold:
    about = [n for n in notices if n.key.endswith(f"-{climb.round}-{climb.rung}")]
    return WasTold(at=climb.at, rank=climb.tell, people=climb.told, vacant=climb.vacant, notices=about)
