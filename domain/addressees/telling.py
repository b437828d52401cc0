"""Telling people what happened: those whom it is for are looked for in the directory when it happens.

Who is absent is stood in for by her cover; where there is nobody the team's leads are told, then the directors.
Whoever did it is not told of it, and who is kept from the case never is. What an event says itself that it told
(a ladder, an alert) is added to, not repeated.
"""

from typing import Any, ClassVar

from domain.addressees.kinds import ADDRESSED, Tell
from domain.addressees.whom import Happened
from domain.case.case import Case
from domain.case.command import Draft
from domain.case.event import Event, Notice
from domain.values import Opaque, Slug, Value

WAITED = ("requester", "owner-before")


class Told(Value):
    """One person who was told: of what, about what, and what she is to it."""

    recipient: Opaque
    subject: Slug
    about: Opaque
    why: Slug
    urgent: bool = False


class PeopleTold(Event):
    """Who was told of what has just happened. `nobody` are the subjects for which nobody could be found at all."""

    kind: ClassVar[str] = "people-told"

    told: tuple[Told, ...] = ()
    nobody: tuple[Slug, ...] = ()

    def notices(self, case: Case) -> tuple[Notice, ...]:
        return tuple(Notice(key=f"{t.subject}-{t.about}-{case.seq}", **dict(t)) for t in self.told)


def tell(draft: Draft) -> None:
    """Add to a decision who is told of what it brought about. Raises `StaffNeeded` to find somebody."""
    found: dict[tuple[str, str, str], Told] = {}
    nobody: list[str] = []
    for event, before, case in draft.happened:
        for rule in ADDRESSED.get(event.kind, ()):
            already = {n.recipient for n in event.notices(case)}
            for why, person in rule.who(Happened(event, before, case, draft)):
                people = _found(draft, case, why, person)
                if people is None:
                    nobody.append(rule.subject)
                for recipient, is_to_it in people or ():
                    told = _told(rule, event, recipient, is_to_it)
                    if recipient not in already:
                        found.setdefault((recipient, told.subject, told.about), told)
    if found or nobody:
        draft.happen(PeopleTold(told=tuple(found.values()), nobody=tuple(dict.fromkeys(nobody))))


def _told(rule: Tell, event: Event, recipient: str, why: str) -> Told:
    about: Any = event
    for name in (rule.about or "").split("."):
        about = getattr(about, name) if name else "case"
    return Told(recipient=recipient, subject=rule.subject, about=about, why=why, urgent=rule.urgent)


def _found(draft: Draft, case: Case, why: str, person: str | None) -> tuple[tuple[str, str], ...] | None:
    """Who is told for a person, and what she is to it; empty where she did it, None where there is nobody."""
    if person == draft.actor.subject:
        return ()
    staff = draft.staff
    if not staff.known:
        return ((person, why),) if person else ()
    here = staff.stands_in(person, draft.now)
    if here is not None:
        return ((here.subject, why if here.subject == person else "cover"),)
    if why in WAITED:  # it is an answer, and nobody else waits for it
        return ((person, why),) if person and staff.member(person) is None else ()
    leads = staff.leads(case.owner, case.team, draft.now)
    return tuple((p, "lead") for p in leads if p != draft.actor.subject) if leads else None
