"""What a case holds besides tasks and clocks: the open parts of a life that is being put in order.

Each is small, frozen and has an id of its case. What is settled leaves the case; the timeline keeps it.
"""

from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import Field

from domain.clocks.clock import Mode, Terms
from domain.programs.policies import Disposition, Limit, Signer, Subject, Tier
from domain.programs.program import Stage
from domain.values import Day, Instant, Line, Opaque, Slug, Text, Value


class Signature(Value):
    """That somebody signed this version of the plan; it holds until `expires_at`."""

    signer: Signer
    signed_at: Instant
    expires_at: Instant


class Score(Value):
    """The latest, the one before it and the first result of one version of an instrument.

    The answers are in the timeline. `patterns` are those of the latest.
    """

    instrument: Slug
    version: Slug
    total: int
    band: Slug | None = None
    scored_at: Instant
    baseline: int
    baseline_at: Instant
    previous: int | None = None
    previous_at: Instant | None = None
    patterns: tuple[Slug, ...] = ()


class Transition(Value):
    """An admission, discharge or visit, by the sender's own id. `dropped` are promises that an admission ended,
    `over` those whose time had passed before it was known. `also` are the ids of other messages that say the same.

    Of a `whole_day` only the day is known; `occurred_at` is its beginning then, local time.
    """

    id: Opaque
    event: Literal["admission", "discharge", "visit"]
    setting: Slug
    encounter: Opaque | None = None
    occurred_at: Instant
    whole_day: bool = False
    disposition: Disposition | None = None
    planned: bool = False
    also: tuple[Opaque, ...] = ()
    dropped: tuple[Slug, ...] = ()
    over: tuple[Slug, ...] = ()


class BookedAppointment(Value):
    """An appointment that is ahead, or over and nobody has said what became of it.

    With `mode` the person is met by ours; without, she goes to somebody else. `moved`: how often it was moved.
    """

    id: Slug
    title: Line
    starts_at: Instant
    minutes: int = 60
    mode: Mode | None = None
    with_whom: Line | None = None
    place: Line | None = None
    attendee: Opaque | None = None
    clock_id: Slug
    moved: int = 0


class Crisis(Value):
    """A crisis that has not ended. It ends with a disposition and a promised follow-up."""

    id: Slug
    since: Instant
    disposition: Slug | None = None


class SafetyPlan(Value):
    """That there is a safety plan, its version, and when it was last gone through with the person."""

    version: int
    reviewed_at: Instant


class Series(Value):
    """The schedule of a repeated task: so much of its repetition's time after `anchor` this one is due.

    It ends after `times` more, or with the last one due by `until`.
    """

    anchor: Instant
    amount: int
    times: int | None = Field(default=None, ge=1)
    until: Day | None = None


class PersonalLimits(Value):
    """The limits of one person's values of an indicator, in place of the programme's, until a day."""

    indicator: Slug
    limits: tuple[Limit, ...] = Field(min_length=1, max_length=6)
    reason: Text
    source: Text
    last: Day | None = None


class Assistance(Value):
    """A programme that pays for medication or help, until it is to be renewed."""

    id: Slug
    title: Line
    renew_by: Day
    clock_id: Slug


class ReferralStatus(StrEnum):
    DRAFT = "draft"
    SENT = "sent"
    ACCEPTED = "accepted"
    IN_PROGRESS = "in-progress"
    ON_HOLD = "on-hold"
    DECLINED = "declined"
    FAILED = "failed"
    DONE = "done"


class SpecialistReferral(Value):
    """A referral of the person to somebody else, open until its loop is closed or it is revoked."""

    id: Slug
    type: Slug
    recipient: Line
    status: ReferralStatus = ReferralStatus.DRAFT
    clock_id: Slug | None = None
    routed: int = 0


class Approval(Value):
    """An approval that was asked for, or granted and not used yet. `of` is what exactly: a tier, a reason.

    `asked` is who answers for its promise; whoever has the role may decide it.
    """

    id: Slug
    subject: Subject
    of: Opaque | None = None
    requested_by: Opaque
    clock_id: Slug
    granted_by: Opaque | None = None
    asked: Opaque | None = None


class Access(Value):
    """An emergency look into the case by somebody who is kept out by rule: by whom, until when, who reviews it."""

    id: Slug
    by: Opaque
    since: Instant
    until: Instant
    clock_id: Slug
    asked: Opaque | None = None


class CareTeamMember(Value):
    """A person around the case, with a role and a period. The caregiver is a party with needs of her own."""

    id: Slug
    role: Slug
    reference: Line
    since: Day
    needs: tuple[Line, ...] = Field(default=(), max_length=20)


class Guided(Value):
    """An ethics consult, a mediation: a record that is led through its steps."""

    id: Slug
    procedure: Slug
    written: tuple[Slug, ...] = ()
    clock_id: Slug


class OnPathway(Value):
    """A critical pathway that the person is on: since which day, and which milestones have come."""

    id: Slug
    pathway: Slug
    started_on: Day
    reached: tuple[Slug, ...] = ()


class Transfer(Value):
    """A case offered to somebody else, or a wish that somebody take it, which `asked` has to see to."""

    id: Slug
    to: Opaque | None = None
    by: Opaque
    clock_id: Slug
    asked: Opaque | None = None


class Flag(Value):
    id: Slug
    raised_by: Opaque
    clock_id: Slug


class CorrectiveAction(Value):
    id: Slug
    clock_id: Slug


class Minutes(Value):
    """The minutes of one calendar month in the programme's zone."""

    month: Line
    minutes: int = Field(ge=0)


class Reading(Value):
    """A value and when it was taken."""

    value: float
    at: Instant


class Measured(Value):
    """The latest value of an indicator, by when it was taken, in the programme's unit; and some before it."""

    indicator: Slug
    value: float
    unit: Line
    at: Instant
    before: tuple[Reading, ...] = ()


class Tried(Value):
    """An attempt that did not reach the person, and when it was made."""

    at: Instant
    mode: Slug


class Unreached(Value):
    """How far the unable-to-contact protocol is; its decision is a clock of the case.

    `tried` are the attempts since the person was last reached, in the order in which they were made.
    """

    attempts: int = 0
    tried: tuple[Tried, ...] = ()
    days: tuple[date, ...] = ()
    modes: tuple[Slug, ...] = ()
    last_at: Instant | None = None
    step: Literal["trying", "letter", "waiting"] = "trying"


class Merge(Value):
    """A case that was taken into this one, with the ids that its tasks and clocks have here."""

    id: Opaque
    tasks: dict[Slug, Slug] = {}
    clocks: dict[Slug, Slug] = {}


class TierFactor(Value):
    """One factor of the risk: the value it saw and the points it gave.

    `given`: a person gave the value. `partly`: some of what it counts could not be read.
    """

    name: Slug
    title: Line
    value: float | None = None
    points: int
    known: bool = True
    given: bool = False
    partly: bool = False


class Stratified(Value):
    """The risk as the factors give it: points, tier, and every factor's part in it.

    `at_least` where a factor is not known, or only in part: the tier may be higher.
    """

    points: int
    tier: Tier
    factors: tuple[TierFactor, ...]
    at_least: bool = False


class Moved(Value):
    """Where a case was moved from, and the terms its promises had there."""

    from_version: int
    at: Instant
    terms: tuple[Terms, ...] = ()


class SetAside(Value):
    """Something that could not be read or decided, until somebody has looked at it. `fault` is a name, no text."""

    id: Opaque
    kind: Slug
    fault: Opaque
    at: Instant


class Closure(Value):
    reason: Slug
    at: Instant
    from_stage: Stage
    reopen_until: Instant
    reoffer_at: Instant | None = None
