"""Moving a running case to another version of its programme: what its promises become, before and after.

A promise made by the programme follows the new version's policy of the same path; one that a person agreed keeps
its time. What is missed stays missed. Undoing gives back the terms that were, and lifts a miss that only the new
ones made.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar

from domain.case import Case
from domain.clock import Climb, Clock, Ladder, Terms
from domain.command import LEADS, Command, Draft
from domain.event import Event
from domain.parts import Moved
from domain.program import Program
from domain.rulebook import Rulebook
from domain.values import Instant, Invalid, Line, Rejected, Role, Slug, Text, Value


class UnknownVersion(Invalid):
    """The catalogue has no such version of the programme; the refusal lists those it has."""


class AlreadyUnderIt(Rejected):
    """The case runs under this version."""


class CannotMove(Rejected):
    """The case holds something that the other version does not know; `missing` lists it."""


class NotMoved(Rejected):
    """The case was not moved, or what it was moved to has been undone."""


class NewTerms(Value):
    """One promise under its new terms, worked out. `lifted` takes back a miss that only the old terms made."""

    terms: Terms
    due_at: Instant
    next_at: Instant | None = None
    lifted: bool = False
    climbs: tuple[Climb, ...] | None = None

    def onto(self, clock: Clock) -> Clock:
        changed = self.terms.onto(clock).changed(due_at=self.due_at, next_at=self.next_at)
        if self.climbs is not None:
            changed = changed.changed(climbs=self.climbs)
        # another round: who is told of a later miss is told anew
        return lifted(changed) if self.lifted else changed


class ProgramVersionChanged(Event):
    """The case goes on under another version of its programme, and these promises with it."""

    from_version: int
    to_version: int
    reason: Text
    undone: bool = False
    clocks: tuple[NewTerms, ...] = ()

    def apply(self, case: Case, at: datetime) -> Case:
        before = tuple(Terms.of(clock) for clock in case.running)
        kept = None if self.undone else Moved(from_version=self.from_version, at=at, terms=before)
        for new in self.clocks:
            clock = case.clock(new.terms.clock_id)
            if clock is not None:
                case = case.with_clock(new.onto(clock))
        return case.changed(program_version=self.to_version, moved=kept)


class ClockMove(Value):
    """What a move would do to one promise."""

    clock_id: Slug
    title: Line
    due_at: Instant
    would_be_due_at: Instant
    overdue_at_once: bool


def version_of(rulebook: Rulebook, program: str, version: int) -> Program:
    """That version of the programme. Raises `UnknownVersion`."""
    versions = [p for p in rulebook.programs if p.program == program]
    for found in versions:
        if found.version == version:
            return found
    raise UnknownVersion("choose one of: " + ", ".join(str(p.version) for p in versions))


def obstacles(case: Case, new: Program) -> list[str]:
    """What the case holds and the version does not know."""
    found = [f"task {t.id}: type {t.type}" for t in case.open_tasks if t.type not in new.tasks]
    if case.target_group is not None and case.target_group not in new.target_groups:
        found.append(f"target group {case.target_group}")
    kept = {r.type for r in case.referrals}
    found += [f"referral type {name}" for name in sorted(kept - set(new.referrals))]
    for clock in case.running:
        if (clock.policy is None or clock.policy not in new.policies) and clock.ladder not in new.ladders:
            found.append(f"clock {clock.id}: ladder {clock.ladder}")
    return found


def under(clock: Clock, old: Program, new: Program) -> Terms:
    """The terms that the new version gives a promise."""
    policy = new.policies.get(clock.policy or "")
    if policy is None:
        return Terms.of(clock)
    before = old.policies.get(clock.policy or "")
    agreed = clock.missed_at is not None or before is None or clock.budget != before.within
    return Terms(
        clock_id=clock.id,
        policy=clock.policy,
        budget=clock.budget if agreed else policy.within,
        ladder=policy.ladder,
        calendar=clock.calendar if agreed else new.calendar_of(policy),
        kept_by=policy.kept_by,
        parties=policy.parties,
        statutory=policy.statutory,
    )


def lifted(clock: Clock) -> Clock:
    """As if it had not been missed."""
    return clock.changed(missed_at=None, climbs=(), acknowledged=None, round=clock.round + 1)


def renumbered(clock: Clock, old: Ladder, new: Ladder) -> tuple[Climb, ...] | None:
    """Who was told of a miss, by the rungs of another ladder, so that nobody is skipped; None for the same."""
    if old.rungs == new.rungs:
        return None
    after = {rung.tell: n for n, rung in reversed(list(enumerate(new.rungs))) if rung.after is not None}
    told = [climb for climb in clock.climbs if climb.rung >= old.first_after and climb.tell in after]
    return tuple(climb.changed(rung=after[climb.tell]) for climb in told)


def worked_out(clock: Clock, terms: Terms, old: Program, program: Program, rulebook: Rulebook) -> NewTerms:
    """A promise under its terms, with its deadline and its next step; a miss is a miss."""
    working = rulebook.calendar(terms.calendar)
    climbs = renumbered(clock, old.ladders[clock.ladder], program.ladders[terms.ladder])
    moved = terms.onto(clock if climbs is None else clock.changed(climbs=climbs))
    if clock.missed_at is None and clock.pause is None:
        moved = moved.changed(due_at=moved.derived_due(working))
    step = moved.next_step(program.ladders[terms.ladder], working)
    next_at = clock.next_at if clock.pause is not None else step.at if step else None
    return NewTerms(terms=terms, due_at=moved.due_at, next_at=next_at, climbs=climbs)


def given_back(
    clock: Clock, moved: Moved, terms: Terms, here: Program, program: Program, rulebook: Rulebook
) -> NewTerms:
    """A promise under the terms it had; a miss since the move is lifted where these were not used up by then."""
    if clock.missed_at is None or clock.missed_at < moved.at:
        return worked_out(clock, terms, here, program, rulebook)
    due = terms.onto(clock).derived_due(rulebook.calendar(terms.calendar))
    if due <= clock.missed_at:
        return worked_out(clock, terms, here, program, rulebook)
    return worked_out(lifted(clock), terms, here, program, rulebook).changed(lifted=True, climbs=None)


def moves(case: Case, rulebook: Rulebook, version: int) -> list[NewTerms]:
    """What a move to this version makes of the running promises."""
    old = rulebook.program(case.program, case.program_version)
    new = version_of(rulebook, case.program, version)
    return [worked_out(clock, under(clock, old, new), old, new, rulebook) for clock in case.running]


def preview_of(case: Case, rulebook: Rulebook, version: int, now: datetime) -> Iterator[ClockMove]:
    """For a person who decides: which promises would move, from when to when."""
    for new in moves(case, rulebook, version):
        clock = case.clock(new.terms.clock_id)
        if clock is None or (clock.due_at == new.due_at and Terms.of(clock) == new.terms):
            continue
        yield ClockMove(
            clock_id=clock.id,
            title=clock.title,
            due_at=clock.due_at,
            would_be_due_at=new.due_at,
            overdue_at_once=clock.missed_at is None and clock.pause is None and new.due_at < now,
        )


class MoveToProgramVersion(Command):
    """Go on under another version of the programme. Look at the preview first: promises may move."""

    kind: ClassVar[str] = "move-to-program-version"
    says: ClassVar[str] = "Move to another version of the programme"
    roles: ClassVar[frozenset[Role]] = LEADS

    version: int
    reason: Text

    def decide(self, draft: Draft) -> None:
        case, rulebook = draft.case, draft.moment.rulebook
        new = version_of(rulebook, case.program, self.version)
        if new.version == case.program_version:
            draft.refuse(AlreadyUnderIt, f"it runs under version {new.version}")
        if lost := obstacles(case, new):
            draft.refuse(CannotMove, "settle these first, or leave the case where it is", lost)
        draft.happen(
            ProgramVersionChanged(
                from_version=case.program_version,
                to_version=new.version,
                reason=self.reason,
                clocks=tuple(moves(case, rulebook, new.version)),
            )
        )


class UndoProgramMove(Command):
    """Go back to the version that the case was moved from, with the terms that its promises had there."""

    kind: ClassVar[str] = "undo-program-move"
    says: ClassVar[str] = "Undo the last move between versions"
    roles: ClassVar[frozenset[Role]] = LEADS

    reason: Text

    def decide(self, draft: Draft) -> None:
        case, rulebook, moved = draft.case, draft.moment.rulebook, draft.case.moved
        if moved is None:
            draft.refuse(NotMoved, "there is no move to undo")
        old = version_of(rulebook, case.program, moved.from_version)
        if lost := obstacles(case, old):
            draft.refuse(CannotMove, "this was begun since the move; settle it first", lost)
        here, known = draft.program, {terms.clock_id: terms for terms in moved.terms}
        terms = {c.id: known.get(c.id) or under(c, here, old) for c in case.running}
        draft.happen(
            ProgramVersionChanged(
                from_version=case.program_version,
                to_version=old.version,
                reason=self.reason,
                undone=True,
                clocks=tuple(given_back(c, moved, terms[c.id], here, old, rulebook) for c in case.running),
            )
        )
