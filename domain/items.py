"""What the lists are told of a case's open work beside tasks and promises: approvals, referrals, flags …

One line an item, from when it is there until it is settled. Who brought it about, and when, stays as it was at
first: `opened_at` and `by` of a later line are not written.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.case.case import Case
from domain.case.event import Entry
from domain.case.open_parts import Unreached
from domain.values import Instant, Line, Opaque, Slug, Text, Value

REVIEWED, REVIEW = "quality-reviewed", "quality-review"
OUTREACH = "unreached"


class ItemLine(Value):
    """One item as the lists show it. `by` brought it about or asked for it, `asked` is who has to answer.

    `at` is when it takes place, `type` what exactly it is (an approval's subject, a referral's type); `title` is
    for people only. A settled one has as its `status` the kind of event that settled it.
    """

    kind: Slug
    id: Opaque
    type: Slug | None = None
    status: Slug
    title: Text | None = None
    by: Opaque | None = None
    asked: Opaque | None = None
    clock_id: Slug | None = None
    at: Instant | None = None
    opened_at: Instant
    settled_at: Instant | None = None


@dataclass(frozen=True)
class Listed:
    """A part of the case that has a list, and how its items say what a line shows."""

    kind: str
    field: str
    type: Callable[[Any], str | None] = lambda item: None
    status: Callable[[Any], str] = lambda item: "open"
    title: Callable[[Any], Line | None] = lambda item: None
    by: Callable[[Any], str | None] = lambda item: None
    asked: Callable[[Any], str | None] = lambda item: None
    at: Callable[[Any], datetime | None] = lambda item: None

    def items(self, case: Case | None) -> dict[str, Any]:
        """What a case has of it, by id."""
        held = getattr(case, self.field) if case is not None else ()
        held = held if isinstance(held, tuple) else () if held is None else (held,)
        return {_name(item): item for item in held}


LISTED = (
    Listed(
        "approval",
        "approvals",
        type=lambda a: str(a.subject),
        status=lambda a: "granted" if a.granted_by else "open",
        title=lambda a: a.of,
        by=lambda a: a.requested_by,
        asked=lambda a: a.asked,
    ),
    Listed(
        "referral", "referrals", type=lambda r: r.type, status=lambda r: str(r.status), title=lambda r: r.recipient
    ),
    Listed(
        "appointment",
        "appointments",
        type=lambda a: str(a.mode) if a.mode else "elsewhere",
        title=lambda a: a.title,
        asked=lambda a: a.attendee,
        at=lambda a: a.starts_at,
    ),
    Listed("flag", "flags", by=lambda f: f.raised_by),
    Listed("crisis", "crisis", type=lambda c: c.disposition),
    Listed(
        "offer",
        "transfer",
        type=lambda t: "offered" if t.to else "asked-for",
        by=lambda t: t.by,
        asked=lambda t: t.to or t.asked,
    ),
    Listed("guided-record", "guided", type=lambda g: g.procedure),
    Listed("corrective-action", "corrective_actions"),
    Listed("assistance", "assistance", title=lambda a: a.title),
    Listed("emergency-look", "accesses", by=lambda a: a.by, asked=lambda a: a.asked),
    Listed("unable-to-contact", "unreached", type=lambda u: u.step),
    Listed(
        "share",
        "readers",
        type=lambda r: "-and-".join((r.reads, *r.labels)),
        title=lambda r: f"{r.with_whom}: {r.purpose}"[:200],
        asked=lambda r: r.id,
        at=lambda r: r.ends_at,
    ),
)
KINDS = (*(listed.kind for listed in LISTED), REVIEW)


def _name(item: Any) -> str:
    """The id of an item. A protocol to reach somebody has none: it is told apart by its first attempt."""
    if isinstance(item, Unreached):
        first = item.tried[0].at if item.tried else item.last_at
        return f"u{first:%Y%m%dT%H%M%S}" if first is not None else OUTREACH
    return str(item.id)


def whole(case: Case, at: datetime) -> Iterator[ItemLine]:
    """The lines of all that a case has open, of which nothing earlier is known."""
    for listed in LISTED:
        yield from (_open(listed, name, item, at, None) for name, item in listed.items(case).items())


def changed(before: Case | None, entry: Entry, after: Case) -> Iterator[ItemLine]:
    """The lines of what an entry has opened, changed or settled."""
    for listed in LISTED:
        was, now = listed.items(before), listed.items(after)
        for name, item in now.items():
            if was.get(name) != item:
                yield _open(listed, name, item, entry.at, entry.actor.subject)
        for name in was.keys() - now.keys():
            line = _open(listed, name, was[name], entry.at, None)
            yield line.changed(status=entry.kind, settled_at=entry.at)
    if entry.kind == REVIEWED:
        yield _reviewed(entry)


def _open(listed: Listed, name: str, item: Any, at: datetime, actor: str | None) -> ItemLine:
    return ItemLine(
        kind=listed.kind,
        id=name,
        type=listed.type(item),
        status=listed.status(item),
        title=listed.title(item),
        by=listed.by(item) or actor,
        asked=listed.asked(item),
        clock_id=getattr(item, "clock_id", None),
        at=listed.at(item),
        opened_at=at,
    )


def _reviewed(entry: Entry) -> ItemLine:
    """A quality review is over when it is written; its title names what was not met."""
    said: Any = entry.data["criteria"]
    unmet = [name for name, met in said.items() if not met]
    return ItemLine(
        kind=REVIEW,
        id=f"q{entry.seq}",
        status="not-met" if unmet else "met",
        title=", ".join(unmet) or None,
        by=entry.actor.subject,
        opened_at=entry.at,
        settled_at=entry.at,
    )
