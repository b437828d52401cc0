"""The reports there are: what each counts, in words, and the query that counts it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from api import report_courses as courses
from api import report_measures
from api import report_outcomes as outcomes
from api import report_queries as queries
from api.report_queries import PROMISE, Rows, Scope


@dataclass(frozen=True)
class Report:
    title: str
    definition: str
    columns: tuple[str, ...]
    rows: Callable[[AsyncConnection, Scope], Awaitable[Rows]]


REPORTS: dict[str, Report] = {
    "clock-timeliness": Report(
        "Timeliness of every kind of promise",
        "Promises that fell due in the period and were not cancelled before. In time: kept by the "
        "deadline, pauses taken "
        "out. Late: kept afterwards. Missed: not kept (yet). Median of the days late is over those kept late.",
        ("kind", "policy", *PROMISE),
        queries.timeliness,
    ),
    "time-in-stage": Report(
        "Time in each stage",
        "Stays in a stage that ended in the period, from its beginning to the beginning of the next or to "
        "closure.",
        ("stage", "people", "stays", "median_days", "longest_days"),
        queries.time_in_stage,
    ),
    "contact-cadence": Report(
        "Contact cadence kept",
        "Promised contacts that fell due in the period, by programme and today's tier. Only a contact "
        "that reached the "
        "party that the tier counts keeps one.",
        ("program", "tier", *PROMISE),
        queries.cadence,
    ),
    "outreach-48h": Report(
        "Outreach within 48 hours",
        "Outreach promised within 48 hours of a discharge or visit, elapsed time, weekends and holidays included.",
        ("program", "policy", *PROMISE),
        queries.of_policy(".outreach-48h"),
    ),
    "contact-2-business-days": Report(
        "Contact within two business days",
        "Interactive contact within two business days of discharge, Monday to Friday without federal holidays.",
        ("program", "policy", *PROMISE),
        queries.of_policy(".contact-2bd"),
    ),
    "visits-7-14-days": Report(
        "Visits within 7 and 14 days",
        "Visits promised after a discharge: 7 days where the policy is that of the high tier, else 14. "
        "Only a contact in "
        "person or by video with the person keeps one.",
        ("program", "policy", *PROMISE),
        queries.of_policy(".visit"),
    ),
    "reassessment-on-time": Report(
        "Reassessment on time",
        "Reassessments that fell due in the period, periodic and on a change of condition.",
        ("program", *PROMISE),
        queries.reassessments,
    ),
    "referral-loops": Report(
        "Referral loops closed",
        "Referrals with an event in the period, each counted once a state. The loop is closed when the "
        "report is back and "
        "gone through; the share is of those sent.",
        (
            "type",
            "people",
            "drafted",
            "sent",
            "accepted",
            "declined",
            "failed",
            "done",
            "closed",
            "revoked",
            "share_closed",
        ),
        queries.referral_loops,
    ),
    "escalations": Report(
        "Escalations by rung",
        "Rungs climbed after a miss in the period, by the rank they told, and the time from the miss to its "
        "acknowledgement by the highest rank told until then.",
        ("rank", "people", "told", "acknowledged_at_this_rank", "median_hours_to_acknowledge"),
        queries.escalations,
    ),
    "readmission-30-days": Report(
        "Readmission within 30 days",
        "Stays in hospital that ended in the period, by local days, and those that an unplanned admission to "
        "hospital followed within the programme's watch, whenever that was and whatever lay between. A move to "
        "another hospital on the same day is one stay; planned admissions are counted apart.",
        ("program", "people", "discharges", "readmitted", "planned", "share_readmitted"),
        outcomes.readmissions,
    ),
    "pathway-variance": Report(
        "Milestones of pathways and their variance",
        "Milestones that came in the period: how many, how many on a later day than the pathway expects, by how "
        "many days in the middle, and the reason that was given most often.",
        (
            "program",
            "pathway",
            "milestone",
            "people",
            "reached",
            "late",
            "share_late",
            "median_days_late",
            "most_often_because",
        ),
        courses.milestones,
    ),
    "quality-measures": Report(
        "Quality measures",
        "Measures of CMS and HEDIS over the period, as far as the record has what they ask for: the population, "
        "those excluded, those that met it. `lacking` names exclusions that are not on record. What cannot be "
        "computed says why. The period is to be a year for the figure to be the publisher's.",
        (
            "measure",
            "title",
            "people",
            "population",
            "excluded",
            "met",
            "share",
            "better",
            "lacking",
            "cannot_be_computed_because",
        ),
        report_measures.quality,
    ),
    "goals-met": Report(
        "Goals met",
        "Goals whose status was recorded in the period, by the last status recorded in it.",
        ("program", "people", "goals", "met", "share_met"),
        outcomes.goals,
    ),
    "score-change": Report(
        "Change of scores since baseline",
        "People with a result taken in the period and an earlier one of the same version: the last of them "
        "against the first result there is. For the PHQ-9, response is half the baseline or less, remission a "
        "total below 5; at 12 months: a baseline above 9 and the last result of the period that lies 12 months "
        "after it, give or take 60 days.",
        (
            "instrument",
            "version",
            "people",
            "median_change",
            "minimal_change",
            "response",
            "remission",
            "remission_12_months",
        ),
        outcomes.score_changes,
    ),
    "intake": Report(
        "Intake and declines",
        "Screenings completed in the period, by programme and outcome: accepted, or the reason for which the "
        "person was not taken; the share is of the programme's screenings.",
        ("program", "outcome", "people", "cases", "share"),
        courses.intake,
    ),
    "closures": Report(
        "Closures by reason",
        "Closures in the period by programme and reason, and the days from the referral to them.",
        ("program", "reason", "people", "closures", "median_days_open"),
        courses.closures,
    ),
    "satisfaction": Report(
        "Satisfaction",
        "Answers to the satisfaction question recorded in the period.",
        ("program", "people", "answers", "median_score"),
        courses.satisfaction,
    ),
    "outcome-change": Report(
        "Change of outcomes since baseline",
        "Of each case the last evaluation in the period: points gained or lost since the baseline in well-being, "
        "finances and appropriate care, each 0 to 10.",
        ("program", "people", "evaluated", *(f"median_change_{name}" for name in courses.DOMAINS)),
        courses.outcomes,
    ),
    "unable-to-contact": Report(
        "People who could not be reached",
        "Counted attempts, letters sent, people reached again and cases closed as unreachable in the period.",
        ("program", "people", "attempts", "letters", "reached_again", "closed_for_it"),
        courses.not_reached,
    ),
    "supervisor-ratio": Report(
        "Case managers and cases of each supervisor",
        "Active case managers below each supervisor in the directory today, and the open cases that they carry.",
        ("supervisor", "people", "case_managers", "open_cases", "weight", "cases_a_case_manager"),
        courses.supervision,
    ),
    "avoidable-days": Report(
        "Avoidable days by reason",
        "Days recorded in the period as avoidable, by reason and, apart from it, by whom they are attributed to.",
        ("reason", "attributed_to", "people", "days"),
        queries.avoidable_days,
    ),
    "workload": Report(
        "Caseload and interventions a day",
        "Open cases and their weights today; completed tasks, contacts, referrals sent and plan reviews "
        "in the period, "
        "for each day on which the case manager did any (days in UTC).",
        ("case_manager", "people", "weighted_caseload", "interventions", "days_at_work", "interventions_a_day"),
        queries.workload,
    ),
}
