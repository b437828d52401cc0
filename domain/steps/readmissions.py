"""Readmissions: an unplanned admission within so many local days after a stay, whatever lies between."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import ClassVar

from domain.case.case import Case
from domain.case.command import Draft
from domain.case.event import Event, Notice
from domain.case.stays import Followed, Stay, following, stays_of
from domain.programs.policies import TransitionPolicy
from domain.values import Opaque

KEPT = 100


class ReadmissionWithdrawn(Event):
    """One of the two events was taken back or corrected, so that there was no readmission."""

    kind: ClassVar[str] = "readmission-withdrawn"

    discharge_id: Opaque
    admission_id: Opaque

    def apply(self, case: Case, at: datetime) -> Case:
        pair = f"{self.discharge_id}/{self.admission_id}"
        return case.changed(readmissions=tuple(p for p in case.readmissions if p != pair))


class ReadmissionNoticed(Event):
    """An unplanned admission within the watch after a discharge. Both are named by the sender's ids."""

    kind: ClassVar[str] = "readmission-noticed"

    discharge_id: Opaque
    admission_id: Opaque
    days: int
    told: Opaque | None = None

    def apply(self, case: Case, at: datetime) -> Case:
        return case.changed(readmissions=(*case.readmissions, f"{self.discharge_id}/{self.admission_id}")[-KEPT:])

    def notices(self, case: Case) -> tuple[Notice, ...]:
        if self.told is None:
            return ()
        key = f"readmission-{case.seq}"
        return (Notice(key=key, recipient=self.told, subject="readmission", about=self.admission_id),)


def stays_in(draft: Draft) -> tuple[Stay, ...]:
    """Where the person was, as far as this case knows."""
    case = draft.case
    return stays_of(case.transitions, draft.program.zone, case.referral.patient.encounters)


def readmissions_of(stays: Iterable[Stay], policies: Mapping[str, TransitionPolicy]) -> list[Followed]:
    """Every stay whose discharge is watched, and the unplanned admission that followed it in time."""
    known = tuple(stays)
    watched = {
        name.removesuffix("-discharge"): policy.watch.amount
        for name, policy in policies.items()
        if name.endswith("-discharge") and policy.watch is not None
    }
    return [
        found
        for setting, days in watched.items()
        for found in following(known, setting)
        if 1 <= found.days <= days and not found.next.planned
    ]


def notice_readmissions(draft: Draft, retracted: str | None = None) -> None:
    """Notice each readmission once, and withdraw those that a correction has undone, not those long past."""
    there = readmissions_of(stays_in(draft), draft.program.transitions)
    seen = {t.id for t in draft.case.transitions} | {retracted}
    for pair in draft.case.readmissions:
        discharge_id, _, admission_id = pair.partition("/")
        if not any(_is(pair, found) for found in there) and {discharge_id, admission_id} <= seen:
            draft.happen(ReadmissionWithdrawn(discharge_id=discharge_id, admission_id=admission_id))
    for found in there:
        if not any(_is(pair, found) for pair in draft.case.readmissions):
            event = ReadmissionNoticed(
                discharge_id=found.stay.ended_by or found.stay.messages[-1],
                admission_id=found.next.messages[0],
                days=found.days,
                told=draft.case.owner,
            )
            draft.happen(event)


def _is(pair: str, found: Followed) -> bool:
    """Whether a pair that was noticed is this one, by whatever messages of the two stays it goes."""
    discharge_id, _, admission_id = pair.partition("/")
    return discharge_id in found.stay.messages and admission_id in found.next.messages
