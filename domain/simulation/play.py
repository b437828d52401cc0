"""Plays a scenario against a programme: the same decisions as in a running case, with time as a variable.

The domain decides everything and the engine only keeps time, so nothing of the engine is needed to see what a
programme would do (docs/decisions/0028).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from domain.case.case import Case
from domain.case.command import Decision, Envelope, Moment
from domain.case.event import Entry, Timeline
from domain.case.staff import Directory, StaffMember
from domain.clocks.clock import Clock
from domain.decide import decide
from domain.programs.program import Program
from domain.programs.rulebook import Rulebook
from domain.promises.deadlines import wake_at
from domain.simulation import moves
from domain.simulation.scenario import Act, Away, Cast, Scenario, Walk
from domain.values import SYSTEM, Actor, Instant, Line, Value

# A programme of seconds would take days to play for a month. The catalogue's busiest scenario takes 572
# in half a year.
MOST_DECISIONS = 2_000
TEAM, CASE = "north", "simulated"
PLACE = re.compile(r"\{([a-z]+)(?: ([a-z0-9:. -]+))?\}")
ABOVE = {Cast.SUPERVISOR: Cast.DIRECTOR, Cast.DIRECTOR: None}


class Happening(Value):
    """Something that happened: done by somebody, owed, kept, missed, told, refused."""

    at: Instant
    day: int
    what: Literal["did", "refused", "stage", "alert", "owed", "kept", "missed", "told"]
    title: Line
    whom: tuple[Line, ...] = ()


class Promised(Value):
    """A promise that was made, when it is due and who answers for it; `key` names its like in another version."""

    key: Line
    title: Line
    due_at: Instant
    by: Line
    missed: bool = False
    kept: bool = False


class Played(Value):
    """What a scenario came to. `cut_short`: more happened than is played, up to here."""

    scenario: Line
    program: Line
    version: int
    starts: Instant
    happenings: tuple[Happening, ...]
    promises: tuple[Promised, ...]
    told: dict[Line, int]
    unexpected: tuple[Line, ...] = ()
    cut_short: Instant | None = None


class CutShort(Exception):
    """More happened than is played."""


@dataclass
class _Player:
    scenario: Scenario
    program: Program
    rulebook: Rulebook
    now: datetime
    case: Case | None = None
    staff: dict[Cast, StaffMember] = field(default_factory=dict)
    timeline: list[Entry] = field(default_factory=list)
    happened: list[Happening] = field(default_factory=list)
    promises: dict[str, Promised] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    decisions: int = 0

    @property
    def zone(self) -> ZoneInfo:
        return self.program.zone

    @property
    def known(self) -> Case:
        assert self.case is not None
        return self.case

    def moment_of(self, day: int, at: str) -> datetime:
        """A local time of a day of the scenario."""
        local = datetime.combine(self.scenario.starts.date() + timedelta(days=day), time.fromisoformat(at))
        return local.replace(tzinfo=self.zone).astimezone(UTC)

    def wait(self, until: datetime) -> None:
        """Let time pass; the case looks after itself whenever it asks to."""
        while self.case is not None and (wake := wake_at(self.case)) is not None and wake <= until:
            self.now = max(self.now, wake)
            self.send("tick", SYSTEM, {})
        self.now = max(self.now, until)

    def send(self, kind: str, actor: Actor, body: dict[str, JsonValue]) -> Decision:
        self.decisions += 1
        if self.decisions > MOST_DECISIONS:
            raise CutShort
        envelope = Envelope(command_id=f"s{self.decisions}", kind=kind, body=body, actor=actor)
        staff = Directory(members=tuple(self.staff.values()))
        recorded = Timeline(tuple(self.timeline))
        moment = Moment(self.now, self.rulebook, staff, same_person=(), timeline=recorded)
        decision = decide(envelope, self.case, moment)
        for entry in decision.entries:
            before, self.case = self.case, entry.apply(self.case)
            self.timeline.append(entry)
            self.note(entry, before or self.case, self.case)
        return decision

    def act(self, act: Act) -> None:
        if act.walk is not None:
            for kind, body in self.way(act):
                self.command(kind, Cast.CASE_MANAGER, body, None)
        elif act.away is not None:
            self.go_away(act.away)
        elif act.command is not None:
            body = {name: self.filled(value) for name, value in act.body.items()}
            self.command(act.command, act.by, body, act.refused)

    def attempt(self, step: str, do: Callable[[], None]) -> None:
        """Play one step; a file that has not what the step needs makes it one that was not expected."""
        try:
            do()
        except KeyError as fault:
            self.unexpected.append(f"{step}: cannot be played, the file has no {fault.args[0]}"[:200])
        except (LookupError, ValueError, RuntimeError, AssertionError) as fault:
            self.unexpected.append(f"{step}: cannot be played: {type(fault).__name__} {fault}"[:200])

    def step(self, act: Act) -> None:
        """Wait for the time of an act, and do it."""
        self.wait(max(self.now, self.moment_of(act.day, act.at)))
        self.act(act)

    def command(self, kind: str, by: Cast, body: dict[str, JsonValue], expected: str | None) -> None:
        """Send a command of somebody; note what became of it, and whether that was not expected."""
        follows = len(self.happened)
        outcome = self.send(kind, Actor(subject=by.value, role=by.role), body).outcome
        self.add("did" if outcome.status == "applied" else "refused", kind, (by.value, outcome.error or ""))
        self.happened.insert(follows, self.happened.pop())  # the deed stands before what it brought about
        if (outcome.error or None) != expected:
            missing = f" ({', '.join(outcome.missing)})" if outcome.missing else ""
            says = f"{kind}: {outcome.error or 'taken'}: {outcome.detail or 'not refused'}{missing}"
            self.unexpected.append(says[:200])

    def go_away(self, away: Away) -> None:
        until = self.moment_of(away.until_day, "08:00")
        cover = away.cover.value if away.cover else None
        self.staff[away.who] = self.staff[away.who].changed(absent_until=until, cover=cover)
        self.add("did", "away until then", (away.who.value,))

    def way(self, act: Act) -> Iterable[tuple[str, dict[str, Any]]]:
        """What leads the case as far as an act says, by the programme's own rules."""
        rules, today = self.program.model_dump(mode="json"), self.program.day_of(self.now)
        tools = [tool.model_dump(mode="json") for tool in self.rulebook.instruments]
        forms = [form.model_dump(mode="json") for form in self.rulebook.forms]
        if self.case is None:
            yield "open", self.opening(rules)
        order = list(Walk)
        if order.index(act.walk or Walk.OPENED) >= order.index(Walk.ACCEPTED):
            yield "record-consent", {"form": "written"}
            yield "complete-screening", moves.screen(rules)
        if order.index(act.walk or Walk.OPENED) >= order.index(Walk.ASSESSED):
            yield from moves.assess(rules, tools, forms, today, act.tier, ["as the scenario says"])
        if order.index(act.walk or Walk.OPENED) >= order.index(Walk.PLANNED):
            yield "agree-plan", moves.plan(rules, today)
            yield from self.approvals()
        if act.walk is Walk.FOLLOWED_UP:
            yield from [("complete-task", {"task_id": t.id}) for t in self.known.open_tasks if t.from_plan]

    def approvals(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """The supervisor approves what waits for that; nobody approves what is her own."""
        for approval in self.known.approvals:
            body: dict[str, Any] = {"approval_id": approval.id, "approve": True, "comment": "as the scenario says"}
            self.command("decide-approval", Cast.SUPERVISOR, body, None)
        return ()

    def opening(self, rules: Mapping[str, Any]) -> dict[str, Any]:
        born = self.program.day_of(self.now).replace(day=1) - timedelta(days=366 * _age(self.program))
        patient = {"reference": "Patient/simulated", "birth_date": str(born)}
        referral = {"source": "hospital", "reason": "as the scenario says", "patient": patient}
        group = {"target_group": next(iter(rules["target_groups"]))} if rules["target_groups"] else {}
        owner = {"owner": Cast.CASE_MANAGER.value, "team": TEAM}
        return {"case_id": CASE, "tenant": "simulation", "program": self.program.program, **owner, **group} | {
            "referral": referral
        }

    def filled(self, value: JsonValue) -> JsonValue:
        """A value of a body with its places filled in by what the case has now."""
        if isinstance(value, dict):
            return {name: self.filled(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.filled(inner) for inner in value]
        if not isinstance(value, str):
            return value
        return PLACE.sub(lambda found: self.place(found[1], found[2] or ""), value)

    def place(self, name: str, which: str) -> str:
        """What stands for a place; the place itself where the case has nothing for it, so that it is refused."""
        if name == "now":
            return self.now.isoformat()
        if name == "day":
            day, _, at = which.partition(" ")
            return self.moment_of(int(day), at or "10:00").isoformat()
        if name == "date":
            return str(self.scenario.starts.date() + timedelta(days=int(which or 0)))
        return self.id_of(name, which) or f"no-{name}"

    def id_of(self, name: str, which: str) -> str | None:
        case = self.known
        clocks = [clock for clock in case.running if not which or clock.kind == which]
        found: dict[str, list[str | None]] = {
            "task": [task.id for task in case.open_tasks if not which or task.type == which],
            "clock": [clock.id for clock in clocks],
            "escalation": [clock.escalation_id for clock in clocks if clock.missed_at is not None],
            "referral": [referral.id for referral in case.referrals],
            "approval": [approval.id for approval in case.approvals],
            "transfer": [case.transfer.id] if case.transfer else [],
            "goal": [goal.id for goal in case.plan.goals] if case.plan else [],
        }
        return next(iter(found.get(name, [])), None)

    def add(self, what: Any, title: str, whom: Iterable[str] = ()) -> None:
        day = (self.now.astimezone(self.zone).date() - self.scenario.starts.date()).days
        named = tuple(one for one in whom if one)
        self.happened.append(Happening(at=self.now, day=day, what=what, title=title[:200], whom=named))

    def note(self, entry: Entry, before: Case, after: Case) -> None:
        """What an event means for people: owed, kept, missed, told, alarmed, a stage further."""
        said: Any = entry.data
        clock = after.clock(said.get("clock_id", "")) or before.clock(said.get("clock_id", ""))
        if entry.kind == "clock-started":
            self.owed(Clock.model_validate(said["clock"]), after)
        elif entry.kind == "clock-rescheduled" and clock is not None:
            self.promises[clock.id] = self.promises[clock.id].changed(due_at=clock.due_at)
        elif entry.kind == "clock-cancelled" and clock is not None:
            self.promises.pop(clock.id, None)
        elif entry.kind == "clock-kept" and clock is not None:
            self.promises[clock.id] = self.promises[clock.id].changed(kept=True)
            self.add("kept", clock.title)
        elif entry.kind == "clock-missed" and clock is not None:
            self.promises[clock.id] = self.promises[clock.id].changed(missed=True)
            self.add("missed", clock.title)
        elif entry.kind == "rung-climbed" and clock is not None:
            for person in said["climb"]["told"]:
                self.told[person] = self.told.get(person, 0) + 1
            self.add("told", clock.title, said["climb"]["told"] or ("nobody found",))
        elif entry.kind == "alert-raised":
            self.add("alert", said["alert"], said.get("told", ()))
        elif entry.kind == "stage-entered":
            self.add("stage", said["stage"])

    def owed(self, clock: Clock, case: Case) -> None:
        name = clock.policy or clock.title
        self.seen[name] = self.seen.get(name, 0) + 1
        by = case.responsible_for(clock) or "nobody"
        key = f"{name} {self.seen[name]}"[:200]
        self.promises[clock.id] = Promised(key=key, title=clock.title, due_at=clock.due_at, by=by)
        self.add("owed", clock.title, (by,))


def _age(program: Program) -> int:
    """An age that the programme, and the first of its target groups, takes."""
    rules = next(iter(program.target_groups.values()), program.eligibility)
    lowest, highest = rules.minimum_age or 0, rules.maximum_age or 130
    return min(max(50, lowest), max(lowest, highest - 1))


def _named(act: Act) -> str:
    """A step as it is found in the scenario's file."""
    what = f"walk {act.walk}" if act.walk else act.command or "away"
    return f"day {act.day} at {act.at}, {what}"


def cast() -> dict[Cast, StaffMember]:
    """The people of a scenario, with every licence that work may need."""
    licences = ("rn", "lcsw", "lpc", "psychologist", "md", "do", "pharmd")
    return {
        one: StaffMember(
            subject=one.value,
            role=one.role,
            team=None if one is Cast.DIRECTOR else TEAM,
            supervisor=(above.value if (above := ABOVE.get(one, Cast.SUPERVISOR)) else None),
            licences=licences,
        )
        for one in Cast
        if one is not Cast.HOSPITAL
    }


def play(scenario: Scenario, program: Program, rulebook: Rulebook, days: int | None = None) -> Played:
    """Play a scenario against one version of a programme; `days` in place of those that the scenario has.

    `rulebook` opens new cases under that version.
    """
    starts = scenario.starts.replace(tzinfo=program.zone).astimezone(UTC)
    player = _Player(scenario, program, rulebook, starts, staff=cast())
    cut_short = None
    try:
        for act in scenario.acts:
            if days is None or act.day <= days:
                player.attempt(_named(act), partial(player.step, act))
        last = player.moment_of(scenario.days if days is None else days, "23:59")
        player.attempt("until the last day", partial(player.wait, last))
    except CutShort:
        cut_short = player.now
    return Played(
        scenario=scenario.name,
        program=program.program,
        version=program.version,
        starts=starts,
        happenings=tuple(player.happened),
        promises=tuple(sorted(player.promises.values(), key=lambda promise: promise.due_at)),
        told=player.told,
        unexpected=tuple(player.unexpected),
        cut_short=cut_short,
    )


def alone(rulebook: Rulebook, program: Program) -> Rulebook:
    """The rulebook in which a version of a programme is the only one, so that new cases open under it."""
    others = tuple(p for p in rulebook.programs if p.program != program.program)
    return rulebook.changed(programs=(*others, program))
