"""`make simulate PROGRAM=file`: plays scenarios against a programme, beside the version that is in force.

It says what falls due, who is told and when, what would be earlier, later, new or gone, and who would be told more
often. Nothing is published, and nothing of a running system is touched or needed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.markup import escape
from rich.table import Table

from deploy.console import console as shown
from deploy.running import NotHere
from domain.programs.program import Program
from domain.programs.rulebook import Rulebook
from domain.simulation.compare import Compared, compared, load
from domain.simulation.play import Happening, Played, alone, play
from domain.simulation.scenario import Scenario
from infra import catalog

COLOURS = {"missed": "red", "told": "yellow", "refused": "red", "alert": "red", "kept": "green", "did": "cyan"}
console, aside = shown(stderr=False), shown()


def main() -> int:
    """Play what was asked for; 1 where a scenario took another course than its file says, 2 for a broken file."""
    given = _given()
    try:
        rulebook, program = catalog.with_file(given.program)
        scenarios = catalog.scenarios(program.program, given.scenario)
        if not scenarios:
            raise NotHere(f"there is no scenario {given.scenario} for {program.program} in catalog/scenarios/")
        before = _in_force(program)
        found = [_played(scenario, program, rulebook, before, given.days) for scenario in scenarios]
    except catalog.CatalogError as fault:
        console.print(f"[red]{fault}[/]")
        return 2
    except NotHere as lacking:
        print(lacking, file=sys.stderr)
        return 1
    if given.json:
        said = [_as_json(played, difference, program.zone) for played, _, difference in found]
        print(json.dumps(said, indent=2, ensure_ascii=False))
    else:
        for scenario, (played, _, difference) in zip(scenarios, found, strict=True):
            show(scenario, program, played, difference, before)
    return int(any(played.unexpected for played, _, _ in found))


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("program", type=Path, help="a programme file, such as catalog/programs/demo-1.yaml")
    parser.add_argument("--days", type=int, help="how many days are played; left out, those of each scenario")
    parser.add_argument("--scenario", help="one of catalog/scenarios/; left out, all that are for this programme")
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args()
    if not given.program.is_file():
        print(f"{given.program} is no file: give PROGRAM=catalog/programs/name-version.yaml", file=sys.stderr)
        sys.exit(1)
    if given.days is not None and not 1 <= given.days <= 400:
        parser.error("give 1 to 400 days")
    return given


def _in_force(program: Program) -> tuple[Rulebook, Program] | None:
    """What new cases open under now; None where it is this very file, or the first of its name."""
    published = catalog.load()
    versions = [p for p in published.programs if p.program == program.program]
    latest = max(versions, key=lambda p: p.version, default=None)
    return (published, latest) if latest is not None and latest != program else None


Result = tuple[Played, Played | None, Compared | None]


def _played(
    scenario: Scenario,
    program: Program,
    rulebook: Rulebook,
    before: tuple[Rulebook, Program] | None,
    days: int | None,
) -> Result:
    aside.print(f"{scenario.title} …")
    now = play(scenario, program, alone(rulebook, program), days)
    if before is None:
        return now, None, None
    was = play(scenario, before[1], alone(before[0], before[1]), days)
    return now, was, compared(was, now)


def _as_json(played: Played, difference: Compared | None, zone: ZoneInfo) -> dict[str, Any]:
    said = played.model_dump(mode="json")
    said["load"] = [one.model_dump() for one in load(played, zone)]
    said["compared"] = difference.model_dump(mode="json") if difference else None
    return said


def show(
    scenario: Scenario,
    program: Program,
    played: Played,
    difference: Compared | None,
    before: tuple[Rulebook, Program] | None,
) -> None:
    """What happened in order, what is still owed, who has how much to do, and what differs."""
    zone, ends = program.zone, max(one.at for one in played.happenings)
    table = Table("day", "when", "what", "promise or deed", "whom", title=f"{program.title}: {scenario.title}")
    for one in played.happenings:
        if one.what != "owed":
            table.add_row(*_row(one, zone))
    for promise in played.promises:
        if not (promise.missed or promise.kept):
            waits = promise.due_at <= ends
            due = "" if waits else f"{promise.due_at.astimezone(zone):%a %d %b %Y}"
            table.add_row("", due, "waits" if waits else "will be due", escape(promise.title), promise.by)
    console.print(table)
    _show_load(played, zone)
    if difference is not None and before is not None:
        _show_difference(difference, zone, before[1].version)
    for said in played.unexpected:
        console.print(f"[red]another course than the scenario says:[/] {escape(said)}")
    if played.cut_short is not None:
        console.print(f"[yellow]more happens than is played: this ends at {played.cut_short.astimezone(zone)}[/]")


def _row(one: Happening, zone: ZoneInfo) -> Sequence[str]:
    colour = COLOURS.get(one.what, "white")
    at = one.at.astimezone(zone)
    return str(one.day), f"{at:%a %d %b %H:%M}", f"[{colour}]{one.what}[/]", escape(one.title), ", ".join(one.whom)


def _show_load(played: Played, zone: ZoneInfo) -> None:
    table = Table("week", "whose", "promises due", title="Load")
    for one in load(played, zone):
        table.add_row(str(one.week), one.by, str(one.due))
    console.print(table)


def _show_difference(difference: Compared, zone: ZoneInfo, version: int) -> None:
    table = Table("promise", "", "before", "now", title=f"What differs from version {version}")
    for one in difference.moved:
        due = [f"{at.astimezone(zone):%a %d %b %Y %H:%M}" if at else "" for at in (one.before, one.after)]
        table.add_row(escape(one.title), one.change, *due)
    for told in difference.told:
        change = "more" if told.after > told.before else "less"
        table.add_row(f"{told.who} is told", change, f"{told.before} times", f"{told.after} times")
    console.print(
        table
        if table.row_count
        else f"Version {version} asks for the same in this scenario: nothing on another day, nobody else told."
    )


if __name__ == "__main__":
    sys.exit(main())
