"""`make screen`: looks in a population's files for people whom a programme could help, against the running system.

The files are FHIR R4 resources, one a line (.ndjson, .ndjson.gz, or folders of them), or CSV read by a mapping of
`catalog/mappings/`. They are sent part by part; what was found waits for the team's leads. Stopped with Ctrl-C
while it screens, the system goes on by itself; `--resume` looks at it again.
"""

import argparse
import gzip
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import httpx2
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy import running
from deploy.console import console as shown
from deploy.population import sign_in
from domain.values import Role
from infra.settings import Settings

PART = 8 * 1024 * 1024  # half of what one request may hold
COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
console = shown(stderr=False)


def files(given: list[Path], csv: bool) -> list[Path]:
    """The files that are meant, folders opened. Raises `NotHere` where there are none."""
    kinds = (".csv", ".csv.gz") if csv else (".ndjson", ".ndjson.gz")
    found = [path for one in given for path in (sorted(one.rglob("*")) if one.is_dir() else [one])]
    meant = [path for path in found if path.is_file() and (path.name.endswith(kinds) or path in given)]
    meant = [path for path in meant if path.suffix != ".gz" or path.with_suffix("") not in meant]
    if not meant:
        raise running.NotHere(f"there is no {' or '.join(kinds)} in {', '.join(map(str, given))}")
    return meant


def opened(path: Path) -> BinaryIO:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def parts(paths: list[Path], csv: bool) -> Iterator[bytes]:
    """Whole lines, as many as a request may hold; each part of a CSV begins with its head."""
    for path in paths:
        with opened(path) as file:
            head = file.readline() if csv else b""
            lines, size, whole = [head], len(head), True
            for line in file:
                if whole and size + len(line) > PART and len(lines) > 1:
                    yield b"".join(lines)
                    lines, size = [head], len(head)
                lines.append(line)
                size += len(line)
                whole = whole is (not csv or line.count(b'"') % 2 == 0)  # a row may go on in the next line
            if len(lines) > 1:
                yield b"".join(lines)


def asked(answer: httpx2.Response) -> Any:
    """What was answered. Raises `NotHere` with the reason where it was refused."""
    if answer.is_success:
        return answer.json()
    said = answer.json()
    raise running.NotHere(f"{said['code']}: {said['detail']} {' '.join(said.get('missing', []))}".strip())


def send(http: httpx2.Client, given: argparse.Namespace) -> str:
    """Send all parts; return the screening's id."""
    meant = files(given.files, bool(given.mapping))
    new = {name: getattr(given, name) for name in ("program", "team", "mapping", "as_of", "tier")}
    wanted = {name: value for name, value in new.items() if value is not None}
    screening = str(asked(http.post("/screenings", json=wanted))["id"])
    try:
        send_parts(http, screening, meant, bool(given.mapping))
        asked(http.post(f"/screenings/{screening}/begin"))
    except (running.NotHere, OSError, KeyboardInterrupt) as fault:
        http.post(f"/screenings/{screening}/discard")
        raise running.NotHere(f"nothing was kept: {fault or 'stopped'}") from None
    return screening


def send_parts(http: httpx2.Client, screening: str, meant: list[Path], csv: bool) -> None:
    """Send the files part by part. Raises `OSError` for one that cannot be read."""
    unread = number = 0
    with Progress(*COLUMNS, console=console) as progress:
        bar = progress.add_task("Sending", total=None)
        for number, body in enumerate(parts(meant, csv), 1):
            told = asked(http.put(f"/screenings/{screening}/parts/{number}", content=body))
            unread += told["unread"]
            progress.update(bar, completed=number)
        progress.update(bar, total=number)
    if unread:
        console.print(f"{unread} lines could not be read; GET /screenings/{screening} says which and why")


def follow(http: httpx2.Client, screening: str) -> Any:
    """Show how far it is until it has ended."""
    with Progress(*COLUMNS, console=console) as progress:
        bar = progress.add_task("Screening", total=None)
        while (found := asked(http.get(f"/screenings/{screening}")))["status"] == "running":
            progress.update(bar, completed=found["shards_done"], total=found["shards"])
            time.sleep(0.5)
        progress.update(bar, completed=found["shards_done"], total=found["shards"])
    return found


def show(found: Any) -> None:
    table = Table("result", "people", title=f"Screening {found['id']} is {found['status']}")
    for name, number in sorted(found["people"].items(), key=lambda one: -one[1]):
        table.add_row(name, f"{number:,}")
    for name, number in sorted(found["why"].items(), key=lambda one: -one[1]):
        table.add_row(f"· {name}", f"{number:,}", style="dim")
    console.print(table)
    console.print("Whom somebody has to decide on: GET /screened, or the page “Found by screening” of the desk")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="files or folders")
    parser.add_argument("--program", default="complex-care", help="for which programme (complex-care)")
    parser.add_argument("--team", default="north", help="whose leads decide (north)")
    parser.add_argument("--mapping", help="read CSV by this mapping of catalog/mappings/")
    parser.add_argument("--tier", help="the lowest tier that is proposed (the highest there is)")
    parser.add_argument("--as-of", help="the day as of which the files are (today)")
    parser.add_argument("--resume", metavar="ID", help="follow a screening that was begun before")
    given = parser.parse_args()
    if not given.files and not given.resume:
        parser.error("name files or folders, or --resume with an id")
    settings = Settings()
    address = running.address(settings)
    with httpx2.Client(base_url=address, headers=sign_in(settings, "dir-1", Role.DIRECTOR), timeout=120) as http:
        screening = given.resume or send(http, given)
        found = follow(http, screening)
    show(found)
    return 0 if found["status"] == "done" else 1


if __name__ == "__main__":
    sys.exit(main())
