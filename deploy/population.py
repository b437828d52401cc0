"""The demo's staff and a few cases of its own making, opened through the API like anybody's."""

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2

from deploy import townspeople
from deploy.patients import bundle
from domain.values import Role
from infra import tokens
from infra.settings import Settings

TEAMS_OF = {"cm-anna": ("north",), "cm-ben": ("north",), "senior-1": ("north",), "sup-1": ("north",)}
STAFF: dict[str, dict[str, Any]] = {
    "dir-1": {"name": "Dora Director", "role": "director"},
    "sup-1": {"name": "Sam Supervisor", "role": "supervisor", "team": "north", "supervisor": "dir-1"},
    "senior-1": {"name": "Sena Senior", "role": "senior-case-manager", "team": "north", "supervisor": "sup-1"},
    "cm-anna": {"name": "Anna Abel", "role": "case-manager", "team": "north", "supervisor": "sup-1"},
    "cm-ben": {"name": "Ben Bauer", "role": "case-manager", "team": "north", "supervisor": "sup-1"},
}
PEOPLE = 6
ZONE, CODE = "America/New_York", re.compile(r"\b\d{6}\b(?=\. It shows)")
MANY = timedelta(minutes=30)


def sign_in(settings: Settings, subject: str, role: Role) -> dict[str, str]:
    """The header of a signed-in person of the demo."""
    token = tokens.issue(settings, subject, role, TEAMS_OF.get(subject, ()), lifetime=MANY)
    return {"Authorization": f"Bearer {token}"}


async def ensure(address: str, settings: Settings) -> None:
    """Put the staff into the directory and open the demo's cases, once: the same keys open nothing twice.

    Raises `OSError` when the API does not take them.
    """
    try:
        await _ensure(address, settings)
    except httpx2.HTTPError as fault:
        raise OSError(f"the demo population could not be opened: {type(fault).__name__}") from None


async def _ensure(address: str, settings: Settings) -> None:
    async with httpx2.AsyncClient(base_url=address, timeout=30) as http:
        director = sign_in(settings, "dir-1", Role.DIRECTOR)
        known = (await http.get("/cases", params={"limit": 1}, headers=director)).raise_for_status()
        if known.json()["items"]:
            return
        for subject, entry in STAFF.items():
            (await http.put(f"/staff/{subject}", json=entry, headers=director)).raise_for_status()
            await _tell_where(http, settings, subject, Role(entry["role"]))
        ehr = sign_in(settings, "ehr-1", Role.INTEGRATOR)
        await asyncio.gather(*(_refer(http, ehr, n) for n in range(PEOPLE)))
        roles = {subject: Role(entry["role"]) for subject, entry in STAFF.items()} | {"ehr-1": Role.INTEGRATOR}
        await townspeople.lead(http, lambda subject: sign_in(settings, subject, roles[subject]))


async def _tell_where(http: httpx2.AsyncClient, settings: Settings, subject: str, role: Role) -> None:
    """Have somebody of the demo be told by mail, as a person does it: an address, and the code that is sent there.

    Nothing is done where the mail goes to a real server, whose mailboxes are nobody's of the demo.
    """
    headers, address = sign_in(settings, subject, role), f"{subject}@example.org"
    before = {path.name for path in letters(settings.data_dir)}
    asked = await http.put("/me/reach/email", json={"address": address, "zone": ZONE}, headers=headers)
    if asked.status_code != 202:
        return
    for path in letters(settings.data_dir):
        found = CODE.search(path.read_text()) if path.name not in before else None
        if found is not None and address in path.read_text():
            await http.post("/me/reach/email/verify", json={"code": found[0]}, headers=headers)


def letters(data_dir: Path) -> list[Path]:
    """The mail that the system of a data folder has sent, the oldest first."""
    return sorted((data_dir / "mail").glob("*.eml"))


async def _refer(http: httpx2.AsyncClient, ehr: dict[str, str], number: int) -> None:
    program = "complex-care" if number % 2 == 0 else "medication-support"
    owner = "cm-anna" if number % 3 else "cm-ben"
    answer = await http.post(
        "/referrals/fhir",
        params={"program": program, "team": "north", "owner": owner},
        json=bundle(number),
        headers={**ehr, "Idempotency-Key": f"demo-population-{number}"},
    )
    answer.raise_for_status()
