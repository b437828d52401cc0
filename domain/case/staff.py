"""The people an escalation can find."""

from collections.abc import Iterable
from datetime import datetime

from domain.case.roster import Roster, Turn
from domain.clocks.clock import RANK_OF_ROLE, Rank
from domain.values import Instant, Opaque, Role, Slug, Value

LEAD_RANKS = (Rank.SENIOR, Rank.SUPERVISOR)
MOST_LEVELS = 5  # a line of supervisors that closes on itself must not hold a case up


class StaffMember(Value):
    """One person of the directory, by subject only; names stay in the record. `cover` is told in her absence."""

    subject: Opaque
    role: Role
    team: Slug | None = None
    supervisor: Opaque | None = None
    active: bool = True
    absent_until: Instant | None = None
    cover: Opaque | None = None
    licences: tuple[Slug, ...] = ()

    def available(self, now: datetime) -> bool:
        """Whether this person can be told of anything now."""
        return self.active and (self.absent_until is None or self.absent_until <= now)


class Directory(Value):
    """The staff that a decision about one case may need: its people, its team, those above them, who is on duty.

    `known` is False when the directory could not be read; then nobody is refused for being unknown.
    """

    members: tuple[StaffMember, ...] = ()
    rosters: tuple[Roster, ...] = ()
    known: bool = True

    def without(self, kept_out: tuple[str, ...]) -> "Directory":
        """The directory as a case sees it from which some are excluded: nobody finds them."""
        if not kept_out:
            return self
        return self.changed(members=tuple(m for m in self.members if m.subject not in kept_out))

    def member(self, subject: str | None) -> StaffMember | None:
        return next((m for m in self.members if m.subject == subject), None)

    def stands_in(self, subject: str | None, now: datetime) -> StaffMember | None:
        """The person, or while she is absent whoever covers for her, or for her cover; None where nobody does."""
        member, seen = self.member(subject), set[str]()
        while member is not None and not member.available(now):
            if not member.active or member.subject in seen:
                return None
            seen.add(member.subject)
            member = self.member(member.cover)
        return member

    def may_take_work(self, subject: str) -> bool:
        """Whether work may be given to this person: known to the directory and active."""
        member = self.member(subject)
        return not self.known or (member is not None and member.active)

    def find(self, rank: Rank, owner: str | None, team: str | None, now: datetime) -> tuple[str, ...]:
        """The available people of a rank around an owner and a team; a named supervisor comes first."""
        if rank is Rank.OWNER:
            found = [self.stands_in(owner, now)]
        elif rank is Rank.SENIOR:
            found = self._of_role(Role.SENIOR, team)
        elif rank is Rank.SUPERVISOR:
            found = self._above(owner, rank, now) or self._of_role(Role.SUPERVISOR, team)
        else:
            found = self._above(owner, rank, now) or self._of_role(Role.DIRECTOR, None)
        return tuple(m.subject for m in found if m is not None and m.available(now))

    def find_at_once(
        self, ranks: Iterable[Rank], owner: str | None, team: str | None, now: datetime
    ) -> tuple[str, ...]:
        """The people of some ranks for what cannot wait: where none of them is on duty now, also whoever is."""
        found = [person for rank in ranks for person in self.find(rank, owner, team, now)]
        return self.with_duty(found, team, now)

    def with_duty(self, people: Iterable[str], team: str | None, now: datetime) -> tuple[str, ...]:
        """Some people, each once, and who is on duty for the team where none of them is."""
        found, duty = tuple(dict.fromkeys(people)), self.on_duty(team, now)
        return found if set(found) & set(duty) else (*found, *duty)

    def on_duty(self, team: str | None, now: datetime) -> tuple[str, ...]:
        """Who is on duty for a team now; whoever covers for one of them who is away."""
        return tuple(dict.fromkeys(turn.person for turn in self.turns_now(team, now)))

    def turns_now(self, team: str | None, now: datetime) -> tuple[Turn, ...]:
        """The turns for a team that are under way, each with whoever is there."""
        turns = [turn for roster in self.rosters if roster.team == team for turn in roster.on_duty(now)]
        there = ((turn, self.stands_in(turn.person, now)) for turn in turns)
        return tuple(turn.changed(person=member.subject) for turn, member in there if member is not None)

    def leads(self, owner: str | None, team: str | None, now: datetime) -> tuple[str, ...]:
        """The available leads of a team, else the directors; each once."""
        for ranks in LEAD_RANKS, (Rank.DIRECTOR,):
            people = dict.fromkeys(p for rank in ranks for p in self.find(rank, owner, team, now))
            if people:
                return tuple(people)
        return ()

    def _above(self, owner: str | None, rank: Rank, now: datetime) -> list[StaffMember | None]:
        """The available person of this rank in the line above the owner."""
        member, seen = self.member(owner), 0
        while member is not None and seen < MOST_LEVELS:
            member, seen = self.member(member.supervisor), seen + 1
            if member is not None and RANK_OF_ROLE.get(member.role) is rank and member.available(now):
                return [member]
        return []

    def _of_role(self, role: Role, team: str | None) -> list[StaffMember | None]:
        return [m for m in self.members if m.role is role and (team is None or m.team == team)]
