"""Every page for every role: what is hers comes whole, what is not hers says so, and nothing is left open."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
ROLES = ("cm-anna", "senior-1", "sup-1", "dir-1", "aud-1")
PAGES = {  # by whom a page can be opened
    "/desk/": ROLES,
    "/desk/?group=waiting": ROLES,
    "/desk/people": ROLES,
    "/desk/people?q=zephyrine": ROLES,
    "/desk/refer": ("cm-anna", "senior-1", "sup-1", "dir-1"),
    "/desk/escalations": ROLES,
    "/desk/caseload": ROLES,
    "/desk/lists": ROLES,
    "/desk/lists/approvals": ROLES,
    "/desk/lists/quality-reviews?state=all": ROLES,
    "/desk/notices": ROLES,
    "/desk/reports": ROLES,
    "/desk/reports/clock-timeliness": ROLES,
    "/desk/reports/intake": ROLES,
    "/desk/staff": ROLES,
    "/desk/rosters/north": ROLES,
    "/desk/rosters/north/entry": ("sup-1", "dir-1"),
    "/desk/staff/add": ("sup-1", "dir-1"),
    "/desk/me": ROLES,
    "/desk/me/absence": ROLES,
    "/desk/me/email": ROLES,
    "/desk/programs": ROLES,
    "/desk/programs/complex-care/2": ROLES,
    "/desk/programs/transitions/1/simulation": ("dir-1",),
    "/desk/programs/transitions/1/simulation?scenario=friday-discharge": ("dir-1",),
    "/desk/webhooks": ("dir-1",),
    "/desk/inbound": ("senior-1", "sup-1", "dir-1"),
    "/desk/found": ("senior-1", "sup-1", "dir-1"),
    "/desk/webhooks/add": ("dir-1",),
    "/desk/retention": ("dir-1", "aud-1"),
    "/desk/audit": ("dir-1", "aud-1"),
    "/desk/help": ROLES,
    "/desk/help/case-manager": ROLES,
}
OF_CASE = (
    "",
    "/timeline",
    "/timeline?subject=contacts&order=oldest",
    "/print/plan",
    "/print/summary",
    "/print/safety-plan",
)


async def test_every_page_opens_for_whom_it_is_and_for_nobody_else(office: Office, at: Any) -> None:
    """With a person who has a name, a plan, tasks, scores and contacts."""
    alice = {"names": [{"given": ["Alice"], "family": "Zephyrine"}], "birth_date": "1950-05-05", "language": "pl"}
    case_id = await office.open(person=alice, owner="cm-anna")
    await office.walk(case_id)
    clock = (await office.get("cm-anna", "/work")).json()["items"][0]["clock_id"]
    told = {"to": "Her sister", "what": ["how she is"], "purpose": "own-use", "mode": "telephone"}
    await office.do(case_id, "record-disclosure", **told, ground="asked-by-person")
    person = (await office.get("cm-anna", f"/cases/{case_id}")).json()["case"]["referral"]["patient"]["reference"]
    for role in ROLES:
        browser = await at(role)
        for path, those in PAGES.items():
            answer = await browser.get(path)
            assert answer.status_code == (200 if role in those else 403), (role, path, answer.text[-1500:])
            assert "{{" not in answer.text
        for part in (*OF_CASE, f"/why/{clock}"):
            html = await browser.page(f"/desk/cases/{case_id}{part}")
            assert "Alice Zephyrine" in html or part.startswith("/why")
        assert "Her sister" in await browser.page(f"/desk/people/{person}/disclosures")
        kept = (await browser.get(f"/desk/people/{person}/retention")).status_code
        assert kept == (200 if role in ("dir-1", "aud-1") else 403), role
        buttons = re.findall(r"/do/[a-z-]+", await browser.page(f"/desk/cases/{case_id}"))
        assert bool(buttons) == (role != "aud-1"), (role, buttons)
    stranger = await at("cm-cora")
    assert (await stranger.get(f"/desk/cases/{case_id}")).status_code == 404


async def test_an_auditor_reads_the_lists_without_a_button_and_others_get_the_next_step(
    office: Office, at: Any
) -> None:
    """What is offered for a referral, a crisis, an appointment is what it lacks now."""
    case_id, starts_at = await office.open(owner="cm-anna"), (datetime.now(UTC) + timedelta(days=30)).isoformat()
    await office.walk(case_id)
    auditor, anna = await at("aud-1"), await at("cm-anna")
    for path in ("/desk/?owner=cm-anna", "/desk/?scope=all"):
        html = await auditor.page(path)
        assert (case_id in html, "/do/" in html) == (True, False), path
    await office.do(case_id, "raise-flag", message="No contact for weeks")
    await office.do(case_id, "raise-crisis", description="x", immediate_danger=False)
    await office.do(case_id, "make-appointment", title="Visit", starts_at=starts_at)
    wanted = {"flags": "resolve-flag", "crises": "record-disposition", "appointments": "move-appointment"}
    for name, kind in wanted.items():
        assert f"/do/{kind}" in await anna.page(f"/desk/lists/{name}")
        html = await auditor.page(f"/desk/lists/{name}")
        assert (case_id in html, "/do/" in html) == (True, False), name
    await office.do(case_id, "record-disposition", disposition="safe-at-home", note="x")
    assert "/do/end-crisis" in await anna.page("/desk/lists/crises")
