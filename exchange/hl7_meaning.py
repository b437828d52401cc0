"""What an ADT message means for the cases of a person: a stay that began, ended or was taken back, or nothing.

Where only somebody who knows the person can say what it means (two records of one person, a death, a class that
the feed's file does not know) it is left to people, and never guessed.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Literal
from zoneinfo import ZoneInfo

from domain.persons.person import Identifier
from domain.programs.feed import Authority, Feed
from domain.programs.policies import Disposition
from exchange.hl7_message import CODE, Message, Segment, Unreadable
from exchange.hl7_time import when

Happened = datetime | date
EventKind = Literal["admission", "discharge", "visit"]
BEGINS, TAKEN_BACK, UPDATED = {"A01", "A06"}, {"A11": "admission", "A13": "discharge"}, {"A02", "A08"}
UNITED = {"A18", "A34", "A36", "A39", "A40"}
# Visits and numbers moved, deleted or merged by the sender.
FOR_PEOPLE = {"A07", "A23", "A24", "A30", "A35", "A37", "A41", "A42", "A43", "A44", "A45", "A47", "A50", "A51"}
REFERRALS = {"I12", "I13", "I14", "I15"}


class Because(StrEnum):
    """Why a message is nothing for the cases, or waits for somebody."""

    NOT_ADMISSION = "not-about-a-stay"
    NO_STAY = "no-stay-of-this-class"
    UNKNOWN_CLASS = "unknown-class"
    NO_TIME = "no-time"
    NO_VISIT = "no-visit-number"
    TWO_RECORDS = "two-records-of-one-person"
    DIED = "says-that-she-died"
    STAY_CHANGED = "changed-by-the-sender"
    REFERRAL = "a-referral"
    UNREADABLE = "unreadable"
    UNMATCHED = "unknown-patient"
    AMBIGUOUS = "several-patients"
    NO_CASE = "no-open-case"
    REFUSED = "refused"
    SUPERSEDED = "said-otherwise-later"
    TOO_LONG_AGO = "too-long-ago"
    FAULT = "a-fault-of-ours"


@dataclass(frozen=True)
class Stay:
    """Part of a stay: what `record-transition` takes, and the sender's number of the stay it belongs to."""

    visit: str
    event: EventKind
    setting: str
    at: Happened
    disposition: Disposition | None = None
    retracted: bool = False


@dataclass(frozen=True)
class Meaning:
    """Whom a message is about, what her cases are told, and why it is nothing or waits for people."""

    about: tuple[Identifier, ...]
    stays: tuple[Stay, ...] = ()
    nothing: Because | None = None
    people: Because | None = None


def identifiers(message: Message, feed: Feed) -> tuple[Identifier, ...]:
    """By which of the sender's numbers the person may be known here (PID-3, by the feed's file)."""
    patient = message.first("PID")
    found: dict[Identifier, None] = {}
    for repeat in patient.repeats(3):
        for one in feed.patients:
            if (number := patient.part(repeat, 1)) and _of(one, patient, repeat):
                try:
                    found[Identifier(system=one.system, value=number)] = None
                except ValueError:
                    raise Unreadable("PID-3 is no number that a person could have") from None
    return tuple(found)


def _of(one: Authority, patient: Segment, repeat: str) -> bool:
    assigner, kind = patient.part(repeat, 4), patient.part(repeat, 5)
    return one.assigner in (None, assigner) and one.type in (None, kind)


def patient_of(message: Message, feed: Feed) -> str:
    """By what messages about one patient are told from others': the first of her numbers that the file reads."""
    try:
        found = {number.system: number.value for number in reversed(identifiers(message, feed))}
    except Unreadable:
        return ""
    return next((f"{one.system}|{found[one.system]}" for one in feed.patients if one.system in found), "")


def fit(message: Message, feed: Feed) -> tuple[Literal["AA", "AR"], str]:
    """Whether the message is one for this feed at all, and why not."""
    if not CODE.fullmatch(message.kind):
        return "AR", "MSH-9 names no message type"
    if message.header.value(11) in ("T", "D") and not feed.test:
        return "AR", "MSH-11 marks a test, and this feed takes none"
    return "AA", ""


def meaning(message: Message, feed: Feed) -> Meaning:
    """What a message says. Raises `Unreadable` for what its event must have and it has not."""
    event = message.event
    if message.kind != "ADT":
        about = identifiers(message, feed)
        if message.kind == "REF" and event in REFERRALS:
            return Meaning(about, people=Because.REFERRAL)
        return Meaning(about, nothing=Because.NOT_ADMISSION)
    if not any(message.first("PID").repeats(3)):
        raise Unreadable("PID-3 names no patient")
    if event in UNITED:
        if not any(message.first("MRG").repeats(1)):
            raise Unreadable("MRG-1 names no earlier identifier")
        return Meaning(identifiers(message, feed), people=Because.TWO_RECORDS)
    if event in FOR_PEOPLE:
        return Meaning(identifiers(message, feed), people=Because.STAY_CHANGED)
    return _of_a_stay(message, feed, event)


def _of_a_stay(message: Message, feed: Feed, event: str) -> Meaning:
    about, visit = identifiers(message, feed), message.first("PV1")
    died = Because.DIED if _died(message, feed) else None
    stay = event in BEGINS | UPDATED | set(TAKEN_BACK) | {"A03", "A04"}
    if not stay or (event == "A08" and not visit.fields):
        return _nothing(about, died, Because.NOT_ADMISSION)
    patient_class = visit.value(2)
    if patient_class not in feed.classes:
        return Meaning(about, people=died or Because.UNKNOWN_CLASS)
    setting = feed.classes[patient_class]
    if setting is None or (event == "A04" and setting != feed.emergency):
        return _nothing(about, died, Because.NO_STAY)
    found = _told(message, feed, event, setting)
    if isinstance(found, Because):
        if event in UPDATED:  # it need not say when the stay began: then it says nothing new of it
            return _nothing(about, died, found)
        return Meaning(about, people=died or found)
    return Meaning(about, found, people=died)


def _nothing(about: tuple[Identifier, ...], died: Because | None, why: Because) -> Meaning:
    """Nothing for the cases, unless it says that the person has died."""
    return Meaning(about, people=died) if died else Meaning(about, nothing=why)


def _told(message: Message, feed: Feed, event: str, setting: str) -> tuple[Stay, ...] | Because:
    """The parts of the stay that a message tells, or what it lacks for that."""
    pv1, zone = message.first("PV1"), ZoneInfo(feed.zone)
    began, ended = when(pv1.value(44), zone), when(pv1.value(45), zone)
    now = _event_time(message, zone)
    visit = visit_of(message)
    if not visit:
        return Because.NO_VISIT
    if setting == feed.emergency:
        gone = event in TAKEN_BACK
        at = began or ended or (None if event in UPDATED else now)
        return (Stay(visit, "visit", setting, at, retracted=gone),) if at else Because.NO_TIME
    left = feed.dispositions.get(pv1.value(36))
    if event in UPDATED:
        parts: list[tuple[EventKind, Happened | None]] = [("admission", began), ("discharge", ended)]
    elif event == "A03":
        parts = [("admission", began), ("discharge", ended or now)]
    elif event in TAKEN_BACK:
        kind: EventKind = "admission" if event == "A11" else "discharge"
        at = (began if kind == "admission" else ended) or now
        return (Stay(visit, kind, setting, at, retracted=True),) if at else Because.NO_TIME
    else:
        parts = [("admission", began or now)]
    told = tuple(Stay(visit, k, setting, at, left if k == "discharge" else None) for k, at in parts if at)
    return told if told and (event != "A03" or told[-1].event == "discharge") else Because.NO_TIME


def _event_time(message: Message, zone: ZoneInfo) -> Happened | None:
    """When it happened: as the event says, else when the sender wrote it down, else when it was sent."""
    event = message.first("EVN")
    said = (event.value(6), event.value(2), message.header.value(7))
    return next((found for value in said if (found := when(value, zone)) is not None), None)


def sent_at(message: Message, zone: ZoneInfo) -> datetime | None:
    """When the sender wrote the message: of two about one stay the later one holds, whichever came first."""
    found = when(message.header.value(7), zone)
    return found if isinstance(found, datetime) else None


def visit_of(message: Message) -> str:
    """The sender's number of the stay; without one its patient and the beginning stand for it."""
    patient, visit = message.first("PID"), message.first("PV1")
    for segment, field in ((visit, 19), (patient, 18), (visit, 50)):
        if number := segment.value(field):
            return f"{number}^{segment.value(field, 4)}"
    began = visit.value(44)
    return f"{patient.value(3)}@{began}" if began and patient.value(3) else ""


def _died(message: Message, feed: Feed) -> bool:
    patient = message.first("PID")
    left = feed.dispositions.get(message.first("PV1").value(36))
    return bool(patient.value(29)) or patient.value(30).upper() == "Y" or left is Disposition.DIED
