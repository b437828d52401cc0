"""`make doctor`: looks at the whole system and says what is not well, which cases it is about, and what to do."""

import asyncio
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rich.table import Table
from sqlalchemy import Connection, Engine, func
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select
from temporalio.client import Client

from activities.deliver import NO_CHANNEL
from activities.queued import waiting
from deploy import running
from deploy.console import console as shown
from deploy.console import id_column, ids
from infra import catalog, database, temporal, watchdog
from infra.inbound_tables import InboundRow
from infra.notice_tables import DeliveryRow
from infra.settings import Settings
from infra.subscription_tables import SubscriptionRow
from infra.tables import CaseRow, WakingRow
from infra.webhook_tables import EndpointRow

SHOWN, LATELY, LATE_MAIL, SILENT = 10, timedelta(hours=24), timedelta(minutes=10), timedelta(hours=1)
console = shown()


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `remedy` says what to do where it is not well."""

    name: str
    well: bool
    says: str
    remedy: str = ""
    cases: tuple[str, ...] = ()


async def examine(client: Client | None, engine: Engine, settings: Settings) -> list[Check]:
    """All checks, the ground first."""
    now = datetime.now(UTC)
    return [*_record(engine, settings, now), *await _engine(client, settings, now)]


def _record(engine: Engine, settings: Settings, now: datetime) -> list[Check]:
    try:
        with engine.connect() as connection:
            return list(_on_record(connection, settings, now))
    except SQLAlchemyError:
        says = "start the database; what is sent meanwhile is queued, or refused without a change"
        return [Check("record", False, "does not answer", says)]


def _on_record(connection: Connection, settings: Settings, now: datetime) -> Iterator[Check]:
    number = connection.execute(select(func.count()).where(col(CaseRow.status) == "open")).scalar_one()
    yield Check("record", True, f"{number} open cases")
    workers = connection.execute(watchdog.workers(now)).scalars().all()
    yield Check(
        "workers", bool(workers), f"{len(workers)} at work", "start `python worker.py`; its log says why it ended"
    )
    late = connection.execute(watchdog.asleep(now, settings)).all()
    since = f", the first at {late[0].wakes_at:%F %H:%M}Z" if late else ""
    yield Check(
        "asleep",
        not late,
        f"{len(late)} cases should have woken{since}",
        "see that a worker runs: the night watch rings them within a minute",
        tuple(row.id for row in late),
    )
    yield _woken(connection, now)
    odd = list(connection.execute(select(CaseRow.id).where(col(CaseRow.quarantined) > 0)).scalars())
    yield Check(
        "quarantined",
        not odd,
        f"{len(odd)} cases have something set aside",
        "GET /quarantine says what; decide it again after a fix, or dismiss it with a reason",
        tuple(odd),
    )
    yield _queued(connection, now)
    yield from _mail(connection, settings, now)
    yield _webhooks(connection, now)
    yield _subscriptions(connection)
    yield from _inbound(connection, now)
    open_ones = connection.execute(watchdog.unfinished(now)).all()
    yield Check(
        "bulk actions",
        not open_ones,
        f"{len(open_ones)} have not come on for minutes: {' '.join(row.id for row in open_ones[:SHOWN])}",
        "see that a worker runs: the night watch goes on with them; GET /bulk-actions/{id}/cases says what waits",
    )
    late = connection.execute(watchdog.unfinished_erasures(now)).all()
    yield Check(
        "erasures",
        not late,
        f"{len(late)} were confirmed and are not done: {' '.join(row.id for row in late[:SHOWN])}",
        "see that worker and engine run: the night watch goes on with them; GET /erasures/{id} says how far",
    )
    slow = connection.execute(watchdog.unfinished_screenings(now)).all()
    yield Check(
        "screenings",
        not slow,
        f"{len(slow)} have not come on for minutes: {' '.join(row.id for row in slow[:SHOWN])}",
        "see that a worker runs: the night watch goes on with them; GET /screenings/{id} says how far",
    )
    used = connection.execute(watchdog.versions_in_use()).all()
    missing = watchdog.missing_programs(used, [watchdog.programs_of(catalog.load()), *workers])
    yield Check(
        "programmes",
        not missing,
        f"missing: {', '.join(missing)}" if missing else "all that cases run under are there",
        "put the file back into catalog/programs and restart the workers; commands of these cases wait",
    )


def _subscriptions(connection: Connection) -> Check:
    """FHIR subscriptions that have given up."""
    given_up = select(SubscriptionRow.id).where(col(SubscriptionRow.status) == "error")
    ended = sorted(connection.execute(given_up).scalars())
    return Check(
        "subscriptions",
        not ended,
        f"{len(ended)} of systems outside are not told any more: {' '.join(ended[:SHOWN])}",
        "tell who runs the system: it deletes the subscription and makes a new one, when it takes what is posted",
    )


def _webhooks(connection: Connection, now: datetime) -> Check:
    silent = select(EndpointRow.id).where(
        col(EndpointRow.disabled).is_not(None) | (col(EndpointRow.failing_since) < now - SILENT)
    )
    endpoints = sorted(connection.execute(silent).scalars())
    return Check(
        "webhooks",
        not endpoints,
        f"{len(endpoints)} endpoints have taken nothing for an hour: {' '.join(endpoints[:SHOWN])}",
        "GET /webhooks says why, GET /webhooks/{id}/attempts what they answered; POST …/replay begins again",
    )


def _inbound(connection: Connection, now: datetime) -> Iterator[Check]:
    """Whether what feeds have sent is worked off, and what waits for people."""
    in_state = select(func.count()).select_from(InboundRow)
    late = in_state.where(col(InboundRow.state) == "waiting", col(InboundRow.received_at) < now - LATE_MAIL)
    waits = connection.execute(late).scalar_one()
    yield Check(
        "feeds",
        not waits,
        f"{waits} messages of feeds have waited for ten minutes",
        "start `python listener.py` with their feeds in CASELOOM_FEEDS; its log says what it waits for",
    )
    asked = col(InboundRow.received_at) < now - LATELY
    people = connection.execute(in_state.where(col(InboundRow.state) == "open", asked)).scalar_one()
    yield Check(
        "unplaced",
        not people,
        f"{people} messages of feeds have waited for a person for a day",
        "GET /inbound lists them with the reason; a lead assigns, tries again or discards them",
    )


def _queued(connection: Connection, now: datetime) -> Check:
    cases = tuple(waiting(connection, now - watchdog.GRACE))
    return Check(
        "queued",
        not cases,
        f"{len(cases)} cases have a command that was answered 202 minutes ago and is not decided",
        "see that a worker runs; the night watch sends again what the engine lost, `make drift HEAL=1` at once",
        cases,
    )


def _mail(connection: Connection, settings: Settings, now: datetime) -> Iterator[Check]:
    """Whether what waits for people leaves the house, and whom it does not reach."""
    if not settings.smtp_url:
        yield Check("mail", True, "no mail server is set: notices stay in the API (CASELOOM_SMTP_URL)")
        return
    late = col(DeliveryRow.next_at) < now - LATE_MAIL
    waits = connection.execute(select(func.count()).where(late)).scalar_one()
    yield Check(
        "mail",
        not waits,
        f"{waits} notices should have left the house ten minutes ago",
        "see that a worker runs with CASELOOM_SMTP_URL, and that the mail server answers",
    )
    lost = select(DeliveryRow.recipient).where(
        (col(DeliveryRow.fault) == NO_CHANNEL) | col(DeliveryRow.state).in_(("bounced", "dead")),
        col(DeliveryRow.created_at) > now - LATELY,
    )
    people = sorted(set(connection.execute(lost.distinct()).scalars()))
    yield Check(
        "reached",
        not people,
        f"{len(people)} people had notices in the last 24 hours and no address that works: "
        f"{', '.join(people[:SHOWN])}",
        "have them tell where they are reached (PUT /me/reach/email); GET /notices has what was to be sent",
    )


def _woken(connection: Connection, now: datetime) -> Check:
    """What the night watch has healed of late: nothing to do, but to be known."""
    lately = select(WakingRow.case_id).where(col(WakingRow.at) > now - LATELY)
    woken = tuple(dict.fromkeys(connection.execute(lately.order_by(col(WakingRow.at))).scalars()))
    return Check("night watch", True, f"woke {len(woken)} cases in the last 24 hours", cases=woken)


async def _engine(client: Client | None, settings: Settings, now: datetime) -> list[Check]:
    if client is None:
        away = f"does not answer at {settings.temporal_address}"
        return [Check("engine", False, away, "`make up`, or start the Temporal server")]
    failing = await watchdog.failing(client)
    names = await watchdog.failing_cases(client) if failing else []
    return [
        Check("engine", failing is not None, "answers" if failing is not None else "does not answer"),
        Check(
            "failing",
            not names,
            f"{len(names)} cases fail at every step",
            "their worker's log says why; roll the release back, then `make drift HEAL=1`",
            tuple(name.rsplit("-", 1)[1] for name in names),
        ),
    ]


def show(checks: list[Check]) -> int:
    table = Table("check", "", "says", "what to do", id_column("cases"))
    for check in checks:
        mark = "[green]well[/]" if check.well else "[red]not well[/]"
        cases = ids([*check.cases[:SHOWN], *(["…"] if len(check.cases) > SHOWN else [])])
        table.add_row(check.name, mark, check.says, "" if check.well else check.remedy, cases)
    console.print(table)
    return int(not all(check.well for check in checks))


async def main() -> int:
    settings = running.settings()
    engine = database.blocking(settings.database)
    try:
        client = await temporal.connect(settings)
    except RuntimeError:
        client = None
    try:
        return show(await examine(client, engine, settings))
    finally:
        engine.dispose()


if __name__ == "__main__":
    code = asyncio.run(main())
    sys.stderr.flush()
    os._exit(code)  # the SDK can crash an interpreter that is shutting down (temporalio/sdk-python#300)
