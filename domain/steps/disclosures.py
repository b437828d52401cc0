"""Disclosures: what somebody outside was told of the case, on which ground, and what goes with it."""

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field

from domain.case.command import Command, Draft
from domain.case.dates import happened_at
from domain.case.event import Event
from domain.clocks.clock import Mode
from domain.steps.referrals import ShareMissing
from domain.values import Instant, Invalid, Line, Rejected, Sensitivity, Text

Ground = Literal["consent", "asked-by-person", "order", "emergency", "law"]
Purpose = Literal["treatment", "payment", "operations", "legal", "public-health", "research", "own-use", "other"]
PART2 = (Sensitivity.PART2, Sensitivity.SUD_COUNSELLING)
# 42 CFR 2.32(a)(2), the short form; it goes with every disclosure of records under Part 2
PART2_NOTICE = "42 CFR part 2 prohibits unauthorized use or disclosure of these records."
ORDER_OF_LABELS = list(Sensitivity)


class LabelNotShared(Rejected):
    """The person's consent lets this recipient be told, and not what stands under this label."""


class OrderNeeded(Rejected):
    """Records under 42 CFR Part 2 are not told for a law's sake alone; a court's order is needed (2.61)."""


class GroundUnproved(Invalid):
    """An order needs its number, and an emergency what it was."""


class DisclosureRecorded(Event):
    """Somebody outside was told something of the case. `notice` is what had to go with it."""

    kind: ClassVar[str] = "disclosure-recorded"

    to: Line
    what: tuple[Line, ...]
    purpose: Purpose
    ground: Ground
    mode: Mode
    labels: tuple[Sensitivity, ...] = ()
    matter: Line | None = None
    reason: Text | None = None
    occurred_at: Instant
    notice: Line | None = None
    sensitivity: Sensitivity = Sensitivity.GENERAL


class RecordDisclosure(Command):
    """Record that somebody outside is told something of the case; ask before it is told.

    By consent: while it holds, for a recipient whom a share names, with the labels that it names. Records under
    42 CFR Part 2 leave by consent, at the person's own request, in a medical emergency or by a court's order only.
    """

    kind: ClassVar[str] = "record-disclosure"
    says: ClassVar[str] = "Record a disclosure"
    when_closed: ClassVar[bool] = True
    advice: ClassVar[str | None] = f"With records under Part 2 goes this notice: {PART2_NOTICE}"
    example: ClassVar[dict[str, Any]] = {
        "to": "Meadow hospital",
        "what": ["the care plan of 1 March"],
        "purpose": "treatment",
        "ground": "asked-by-person",
        "mode": "letter",
    }

    to: Line = Field(description="Who is told; by consent, as the share names the recipient")
    what: tuple[Line, ...] = Field(min_length=1, max_length=20)
    purpose: Purpose
    ground: Ground
    mode: Mode = Field(description="How it is told")
    labels: tuple[Sensitivity, ...] = Field(
        default=(), max_length=4, description="The labels of what is told, besides that of the programme"
    )
    matter: Line | None = Field(default=None, description="The number of the order")
    reason: Text | None = Field(default=None, description="What the emergency was, or more of the ground")
    occurred_at: Instant | None = Field(default=None, description="When it was told; left out: now")

    def decide(self, draft: Draft) -> None:
        told_at = happened_at(draft, self.occurred_at)
        named = {*self.labels, draft.program.sensitivity} - {Sensitivity.GENERAL}
        labels = sorted(named, key=ORDER_OF_LABELS.index)
        if (self.ground == "order" and not self.matter) or (self.ground == "emergency" and not self.reason):
            draft.refuse(GroundUnproved, "give the number of the order as `matter`, the emergency as `reason`")
        under_part2 = any(label in PART2 for label in labels)
        if self.ground == "law" and under_part2:
            draft.refuse(OrderNeeded, "record the ground that 42 CFR Part 2 knows: consent, order, emergency")
        if self.ground == "consent":
            self._by_consent(draft, told_at, labels)
        said = {name: value for name, value in self if name not in ("labels", "occurred_at")}
        notice = PART2_NOTICE if under_part2 else None
        label = labels[-1] if labels else Sensitivity.GENERAL
        more = {"labels": tuple(labels), "occurred_at": told_at, "notice": notice, "sensitivity": label}
        draft.happen(DisclosureRecorded(**said, **more))

    def _by_consent(self, draft: Draft, told_at: datetime, labels: list[Sensitivity]) -> None:
        """By the consent that held when it was told. Raises `ShareMissing`, `LabelNotShared`."""
        consent = draft.case.consent
        shares = consent.shares_at(self.to, told_at, draft.program.day_of(told_at)) if consent is not None else ()
        if not shares:
            draft.refuse(ShareMissing, "she had not agreed then that this recipient be told; name another ground")
        named = {label for share in shares for label in share.labels}
        if lacking := [label for label in labels if label not in named]:
            draft.refuse(LabelNotShared, "record her consent with these labels in the share first", lacking)
