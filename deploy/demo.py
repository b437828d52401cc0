"""`make demo`: plays a case manager against the running system, over HTTP, on real input.

Reads FHIR R4 bundles (a folder or a tar archive; without one, a few patients of its own making), refers each
patient and walks the case to follow-up. One follow-up then lapses on purpose, and nobody touches the case:
the escalation climbs by itself until the supervisor finds it with one query.
"""

import argparse
import asyncio
import gzip
import json
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx2
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy import patients, running
from deploy.console import console as shown
from deploy.play import Player, Refused
from deploy.population import letters, sign_in
from domain.simulation.moves import BETTER
from domain.values import Role
from infra.settings import Settings

AT_ONCE = 6
OWN_PATIENTS = 5
TO_SAM = "sup-1@example.org"
console = shown(stderr=False)


def bundles(source: Path | None) -> Iterator[dict[str, Any]]:
    """The bundles of a folder (json, json.gz) or of a tar archive, one at a time; else some of our own."""
    if source is None:
        yield from (patients.bundle(1000 + n) for n in range(OWN_PATIENTS))
    elif source.is_dir() or ".json" in source.suffixes:
        files = [*source.rglob("*.json"), *source.rglob("*.json.gz")] if source.is_dir() else [source]
        for path in sorted(files):
            raw = path.read_bytes()
            try:
                yield json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
            except (ValueError, OSError):
                yield {"unreadable": path.name}
    else:
        with tarfile.open(source) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name.endswith(".json") else None
                if file is not None:
                    yield json.load(file)


def born(bundle: dict[str, Any]) -> date:
    """The birth date of the bundle's patient; today when it gives none."""
    found = [e["resource"] for e in bundle.get("entry", []) if e["resource"]["resourceType"] == "Patient"]
    text = str(found[0].get("birthDate", "")) if found else ""
    return date.fromisoformat(text) if len(text) == 10 else datetime.now(UTC).date()


class Demo:
    """The people of the demonstration and what they have done so far."""

    def __init__(self, anna: Player, sam: Player, ehr: Player) -> None:
        self.anna, self.sam, self.ehr = anna, sam, ehr
        self.results: Counter[str] = Counter()
        self.faults: list[str] = []
        self.chosen: dict[str, Any] | None = None

    async def refer_all(self, source: Path | None) -> None:
        """Refer and walk every patient, a few at once."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("Referring patients", total=None)
            running: set[asyncio.Task[None]] = set()
            for count, bundle in enumerate(bundles(source), 1):
                running.add(asyncio.create_task(self._one(bundle)))
                if len(running) >= AT_ONCE:
                    _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                progress.update(bar, completed=count - len(running))
            await asyncio.gather(*running)
            progress.update(bar, completed=sum(self.results.values()), total=sum(self.results.values()))

    async def _one(self, bundle: dict[str, Any]) -> None:
        if "unreadable" in bundle:
            self.results[f"skipped: {bundle['unreadable']} is no JSON"] += 1
            return
        if not any(e.get("resource", {}).get("resourceType") == "Patient" for e in bundle.get("entry", [])):
            self.results["skipped: the bundle is about no patient"] += 1
            return
        age = (datetime.now(UTC).date() - born(bundle)).days // 365
        program = "complex-care" if age >= 19 else "medication-support"
        try:
            case_id = await self.ehr.refer(bundle, program, team="north", owner="cm-anna")
            case = (await self.anna.get(f"/cases/{case_id}"))["case"]
            tier, reasons = _risk(case["referral"]["patient"])
            await self.anna.walk(case_id, program, tier, reasons)
        except Refused as refusal:
            expected = refusal.code in ("PatientDeceased", "NotEligible")
            self.results[f"refused: {refusal.code}"] += 1
            if not expected:
                self.faults.append(str(refusal))
        else:
            self.results[f"{program}, tier {tier}"] += 1
            self.chosen = self.chosen or bundle

    def show_results(self) -> None:
        if not self.results:
            console.print("[yellow]No bundle was found there (.json, .json.gz, or a tar archive of them).[/]")
        table = Table(title="What became of the referrals")
        table.add_column("result")
        table.add_column("patients", justify="right")
        for name, count in sorted(self.results.items()):
            table.add_row(name, str(count))
        console.print(table)
        for fault in self.faults[:10]:
            console.print(f"[red]{fault}[/]")

    async def lapse(self) -> str:
        """Open a case of the demo programme, walk it to follow-up, and then do nothing."""
        bundle = self.chosen or patients.bundle(1000)
        case_id = await self.ehr.refer(bundle, "demo", team="north", owner="cm-anna")
        console.rule("A follow-up lapses")
        console.print(f"Case {case_id}: the programme's clocks run in seconds. Anna walks it to follow-up …")
        await self.anna.walk(case_id, "demo", "high", ["Lives alone", "Two admissions in six months"])
        console.print("… and forgets the next contact. From here [bold]nobody touches the case[/]:")
        return case_id

    async def watch(self, case_id: str) -> None:
        """Tell each event as it happens until the supervisor has been told."""
        told: set[int] = set()
        async with asyncio.timeout(120):
            while True:
                events = await _timeline(self.sam, case_id)
                for event in events:
                    if event["seq"] not in told and event["actor"] == "caseloom":
                        console.print(f"  {_clock(event)}  {_tell(event)}")
                    told.add(event["seq"])
                climbs = [e["data"]["climb"]["tell"] for e in events if e["kind"] == "rung-climbed"]
                if "supervisor" in climbs:
                    return
                await asyncio.sleep(0.5)

    async def answer(self, case_id: str) -> None:
        """The supervisor finds the miss with one query and takes it up; the case is put right and closed."""
        found = await _all_items(self.sam, "/escalations", acknowledged=False)
        mine = [e for e in found if e["case_id"] == case_id]
        await show_mail()
        others = f", and {len(found) - len(mine)} of other cases" if len(found) > len(mine) else ""
        table = Table(title=f"GET /escalations?acknowledged=false, as the supervisor sees it{others}")
        for column in ("what", "case manager", "overdue s", "highest told"):
            table.add_column(column)
        for row in mine:
            table.add_row(row["title"], row["owner"], str(row["overdue_seconds"]), row["told"])
        console.print(table)
        for row in mine:
            await self.sam.do(case_id, "acknowledge-escalation", escalation_id=row["id"], note="I call her now")
        await self._put_right(case_id)

    async def _put_right(self, case_id: str) -> None:
        anna = self.anna
        contact = {"mode": "in-person", "party": "patient", "reached": True}
        steps = (
            ("contact made, late", "log-contact", {**contact, "outcome": "Fell yesterday, weaker than before"}),
            ("significant change", "report-significant-change", {"description": "A fall at home"}),
        )
        for title, kind, body in steps:
            await anna.do(case_id, kind, **body)
            console.print(f"  Anna: {title}")
        await anna.assess(case_id, "demo", "moderate", ["A fall", "Daughter moved in"])
        revised = await anna.do(case_id, "revise-plan", **anna.plan("demo", 1), reason="After the fall")
        console.print("  Anna: reassessed, plan revised")
        for task_id in revised["created"]:
            await anna.do(case_id, "complete-task", task_id=task_id)
        await anna.do(case_id, "evaluate-outcome", ratings=BETTER, summary="Safe at home with her daughter")
        await anna.do(case_id, "close", reason="goals-met")
        console.print("  Anna: outcome evaluated, case closed\n")


async def show_mail() -> None:
    """The mail that told the supervisor: it arrives by itself, within seconds."""
    for _ in range(100):
        found = [path for path in letters(Settings().data_dir) if TO_SAM in path.read_text()]
        if found and "Subject: Your code" not in found[-1].read_text():
            console.print(f"  and by mail: {TO_SAM}   (`make mail` shows all of it)\n")
            return
        await asyncio.sleep(0.1)
    console.print("  no mail to the supervisor: see mail.log and worker.log\n")


async def _all_items(player: Player, path: str, **wanted: Any) -> list[dict[str, Any]]:
    """A whole list, page by page."""
    items: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        more = {"cursor": page["next"]} if page["next"] else {}
        page = await player.get(path, limit=200, **wanted, **more)
        items += page["items"]
    return items


async def _timeline(player: Player, case_id: str) -> list[dict[str, Any]]:
    return await _all_items(player, f"/cases/{case_id}/timeline")


def _risk(patient: dict[str, Any]) -> tuple[str, list[str]]:
    """The tier a case manager might choose, and why."""
    conditions, medications = len(patient["conditions"]), len(patient["medications"])
    reasons = [f"{conditions} active conditions", f"{medications} active medications"]
    if conditions >= 5 or medications >= 5:
        return "high", reasons
    return ("moderate" if conditions >= 2 else "low"), reasons


def _clock(event: dict[str, Any]) -> str:
    return datetime.fromisoformat(event["at"]).astimezone().strftime("%H:%M:%S")


def _tell(event: dict[str, Any]) -> str:
    data = event["data"]
    match event["kind"]:
        case "rung-climbed":
            people = ", ".join(data["climb"]["told"]) or "nobody was found"
            return f"[yellow]told the {data['climb']['tell']}[/]: {people}"
        case "clock-missed":
            return f"[red]missed[/]: {data['escalation_id']}, now an event of its own"
        case "clock-started":
            return f"next promise: {data['clock']['title'].lower()} (a miss never suppresses the next)"
        case kind:
            return str(kind)


def _summary(event: dict[str, Any]) -> str:
    """A few words about an event, from its data."""
    data = event["data"]
    found = data.get("stage") or data.get("task_id") or data.get("clock_id") or data.get("name") or ""
    if event["kind"] == "rung-climbed":
        found = f"{data['climb']['tell']}: {', '.join(data['climb']['told'])}"
    if event["kind"] == "clock-started":
        found = f"{data['clock']['id']}: {data['clock']['title']}"
    if event["kind"] == "clock-kept" and data["late_by"]:
        found = f"{found}, {data['late_by']} s late"
    if event["kind"] == "task-added":
        found = data["task"]["title"]
    return str(found)


async def show_timeline(player: Player, case_id: str) -> None:
    table = Table(title=f"Timeline of case {case_id}")
    for column in ("seq", "at", "event", "by", "what"):
        table.add_column(column, justify="right" if column == "seq" else "left")
    for event in await _timeline(player, case_id):
        table.add_row(str(event["seq"]), _clock(event), event["kind"], event["actor"], _summary(event))
    console.print(table)


async def main(source: Path | None) -> int:
    settings = Settings()
    address = running.address(settings)
    async with httpx2.AsyncClient(base_url=address, timeout=60) as http:
        anna = sign_in(settings, "cm-anna", Role.CASE_MANAGER)
        rules = {p["program"]: p for p in (await http.get("/programs", headers=anna)).raise_for_status().json()}
        people = (anna, sign_in(settings, "sup-1", Role.SUPERVISOR), sign_in(settings, "ehr-1", Role.INTEGRATOR))
        tools = (await http.get("/instruments", headers=anna)).raise_for_status().json()
        forms = (await http.get("/forms", headers=anna)).raise_for_status().json()
        demo = Demo(*(Player(http, headers, rules, tools, forms) for headers in people))
        console.rule("Referrals")
        await demo.refer_all(source)
        demo.show_results()
        case_id = await demo.lapse()
        await demo.watch(case_id)
        await demo.answer(case_id)
        await show_timeline(demo.sam, case_id)
    return 1 if demo.faults else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="?", type=Path, help="a folder of FHIR R4 bundles, or a tar archive")
    given = parser.parse_args()
    if given.bundles is not None and not given.bundles.exists():
        parser.error(f"{given.bundles} is not there")
    try:
        sys.exit(asyncio.run(main(given.bundles)))
    except (httpx2.TransportError, tarfile.TarError) as fault:
        sys.exit(f"the demonstration stopped: {type(fault).__name__}: {fault}")
    except KeyboardInterrupt:
        sys.exit(130)
