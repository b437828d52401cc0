"""A director keeps a record, asks for its erasure, and another confirms it, at the desk."""

from typing import Any

import pytest

from domain.values import Role
from tests.api.test_erasure import closed
from tests.office import PEOPLE, Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def test_a_record_past_its_time_is_held_then_erased_by_two(
    office: Office, at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An auditor sees all of it without a button; who asked cannot confirm; the certificate stays."""
    monkeypatch.setitem(PEOPLE, "dir-2", (Role.DIRECTOR, (), "local"))
    _, person = await closed(office)
    entry = {"name": "dir-2", "role": "director"}
    assert (await office.http.put("/staff/dir-2", json=entry, headers=office.sign_in("dir-1"))).status_code == 200
    first, second, auditor = [await at(who) for who in ("dir-1", "dir-2", "aud-1")]
    assert "Oda Quasimodo" in await first.page("/desk/retention")
    here = f"/desk/people/{person}"
    assert "/erasures/add" in await first.page(f"{here}/retention")
    assert "<button" not in (await auditor.page(f"{here}/retention")).partition("<main")[2]
    held = await first.fill(f"{here}/legal-holds/add", matter="CV-2026-00417")
    assert held.headers["Location"].startswith(f"{here}/retention"), held.text
    refused = await first.fill(f"{here}/erasures/add", ground="retention-over")
    assert (refused.status_code, "a legal hold keeps her record" in refused.text) == (409, True)
    lift = (await first.page(f"{here}/retention")).partition("/legal-holds/")[2].partition("/lift")[0]
    await first.post(f"{here}/legal-holds/{lift}/lift")
    unnumbered = await first.fill(f"{here}/erasures/add", ground="ordered")
    assert unnumbered.status_code == 422
    asked = await first.fill(f"{here}/erasures/add", ground="ordered", matter="O 1/26")
    place = asked.headers["Location"].partition("?")[0]
    assert "/confirm" not in await first.page(place)
    assert "/confirm" not in await auditor.page(place)
    assert "/confirm" in await second.page(place)
    await second.post(f"{place}/confirm")

    async def done() -> bool:
        return "Last hash" in await auditor.page(place)

    await office.until(done)
    assert "O 1/26" in await auditor.page(place)
    assert (await first.get(here)).status_code == 404
    assert "Oda" not in await first.page("/desk/retention")
