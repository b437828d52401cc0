"""What the report on quality measures counts: people as the record knows them, held against each measure."""

from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from api.report_outcomes import told_of_stays
from api.report_queries import SAID, Rows, Scope, recorded, share
from domain.case.case import Patient
from domain.case.stays import ACUTE, EMERGENCY, episodes, stays_of
from domain.measures import Known, Measure, Period, measures
from infra.tables import CaseRow, TimelineRow

READ = (
    "case-opened",
    "instrument-scored",
    "observation-recorded",
    "contact-logged",
    "medications-reconciled",
    "referral-sent",
    "referral-loop-closed",
    "case-ended",
)
HOSPICE = "hospice"


async def quality(connection: AsyncConnection, scope: Scope) -> Rows:
    """Each measure over the people of these cases; those that cannot be computed say why."""
    known = await _known(connection, scope)
    zone = next((p.zone for p in scope.rulebook.programs), ZoneInfo("UTC"))
    first, last = scope.start.astimezone(zone).date(), (scope.end - timedelta(seconds=1)).astimezone(zone).date()
    rule = scope.rulebook.instrument("phq-9", "2001").change
    found = measures(rule) if rule is not None else ()
    return [_row(scope, measure, known, Period(first, last)) for measure in found]


def _row(scope: Scope, measure: Measure, known: dict[str, Known], period: Period) -> dict[str, Any]:
    counts = {p: measure.counted(k, period) for p, k in known.items()} if measure.counted is not None else {}
    population = sum(c.population for c in counts.values())
    excluded, met = sum(c.excluded for c in counts.values()), sum(c.met for c in counts.values())
    computed = measure.counted is not None
    return {
        "measure": measure.name,
        "title": measure.title,
        "people": sum(c.population > 0 for c in counts.values()),
        "population": population if computed else None,
        "excluded": excluded if computed else None,
        "met": met if computed else None,
        "share": share(met, population - excluded),
        "better": "more" if measure.higher_is_better else "less",
        "lacking": measure.lacking,
        "cannot_be_computed_because": measure.because,
    }


async def _known(connection: AsyncConnection, scope: Scope) -> dict[str, Known]:
    """What is on record of each person, over all of her cases of the scope."""
    query = recorded(scope, *READ).add_columns(
        col(TimelineRow.kind), col(TimelineRow.at), *SAID, col(CaseRow.program), col(CaseRow.program_version)
    )
    found: dict[str, Known] = defaultdict(Known)
    sent: dict[tuple[str, str], date] = {}
    for case_id, kind, at, seq, encrypted, *program in (
        await connection.execute(query.order_by(col(TimelineRow.case_id), col(TimelineRow.seq)))
    ).all():
        zone = scope.rulebook.program(*program).zone
        _learn(
            found[scope.person_of[case_id]], kind, at, scope.said(case_id, seq, encrypted), zone, (case_id, sent)
        )
    for case_id, told in (await told_of_stays(connection, scope)).items():
        zone = scope.rulebook.program(*told.program).zone
        stays = stays_of(told.transitions.values(), zone, told.earlier)
        one = found[scope.person_of[case_id]]
        one.discharges += [s.ended.day for s in episodes(stays, ACUTE) if s.ended and s.disposition != "died"]
        one.emergency += [s.ended.day for s in stays if s.setting == EMERGENCY and s.ended]
        one.hospice |= any(s.disposition == HOSPICE for s in stays)
    return found


def _learn(
    known: Known, kind: str, at: datetime, said: Any, zone: ZoneInfo, referrals: tuple[str, dict[Any, date]]
) -> None:
    case_id, sent = referrals
    if kind == "case-opened":
        patient = Patient.model_validate(said["referral"]["patient"])
        known.born = known.born or patient.birth_date
        known.codes = (*known.codes, *patient.icd_10_codes)
    elif kind == "instrument-scored" and said["result"].get("total") is not None:
        known.totals.setdefault(said["result"]["instrument"], []).append(
            (_day(said["scored_at"], zone), said["result"]["total"])
        )
    elif kind == "observation-recorded":
        known.values.setdefault(said["indicator"], []).append((_day(said["taken_at"], zone), said["value"]))
    elif kind == "contact-logged" and _reached(said["contact"]):
        known.contacts.append(_day(said["contact"]["occurred_at"], zone))
    elif kind == "medications-reconciled":
        known.reconciled.append(_day(said["occurred_at"], zone))
    elif kind == "referral-sent":
        sent.setdefault((case_id, said["referral"]["id"]), at.astimezone(zone).date())
        known.referred.append((sent[case_id, said["referral"]["id"]], None))
    elif kind == "referral-loop-closed":
        day = sent.get((case_id, said["referral"]["id"]))
        if day is not None and (day, None) in known.referred:
            known.referred[known.referred.index((day, None))] = (day, at.astimezone(zone).date())
    elif kind == "case-ended":
        known.hospice |= said["reason"] == HOSPICE


def _reached(contact: Any) -> bool:
    talked = contact["mode"] in ("in-person", "telephone", "video")
    return bool(contact["reached"] and contact["party"] == "patient" and talked)


def _day(written: str, zone: ZoneInfo) -> date:
    return datetime.fromisoformat(written).astimezone(zone).date()
