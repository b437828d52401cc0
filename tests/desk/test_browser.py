"""The desk in a real browser: by mouse, by keys alone, without scripts, on a small screen; read by axe; live."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from desk import words
from desk.app import app
from desk.forms import form_of, schema_of
from domain.commands import FROM_PEOPLE
from infra.loopback import free_port
from tests.office import Office

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
REASON = "no Chromium here: set CHROMIUM, or install the package chromium"
pytestmark = [
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),
    pytest.mark.skipif(CHROMIUM is None, reason=REASON),
]
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-gpu")
ALICE = {"names": [{"given": ["Alice"], "family": "Zephyrine"}], "birth_date": "1950-05-05"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def address(at: Any) -> AsyncIterator[str]:
    """The application on a port of this machine."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit, server.force_exit = True, True
    with suppress(asyncio.CancelledError):
        await serving


@pytest_asyncio.fixture(loop_scope="session")
async def opened(chromium: Browser, address: str) -> AsyncIterator[Any]:
    """`await opened("cm-anna")` is a page of hers, signed in; whatever the browser complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    async def page_of(person: str, **more: Any) -> Page:
        contexts.append(await chromium.new_context(base_url=address, **more))
        page = await contexts[-1].new_page()
        page.on("pageerror", lambda fault: complaints.append(str(fault)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        await page.goto("/desk/sign-in")
        await page.click(f"button[value={person}]")
        await page.wait_for_url("**/desk/")
        return page

    yield page_of
    for context in contexts:
        await context.close()
    expected = ("the server responded with a status of 4", "ERR_INCOMPLETE_CHUNKED_ENCODING")
    assert [text for text in complaints if not any(part in text for part in expected)] == []


async def test_a_contact_is_logged_from_today_by_the_keyboard_alone(office: Office, opened: Any) -> None:
    """Tab, Enter, arrows and letters; the promise that it keeps is gone from the list."""
    case_id = await office.open(person=ALICE, owner="cm-anna")
    page = await opened("cm-anna")
    await page.get_by_role("link", name="Alice Zephyrine").first.focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/desk/cases/{case_id}")
    await page.keyboard.press("l")
    await page.wait_for_url("**/do/log-contact")
    await page.get_by_role("radio", name="Telephone").focus()
    await page.keyboard.press("Space")
    await page.get_by_role("radio", name="The person").focus()
    await page.keyboard.press("Space")
    await page.get_by_role("group", name="Reached").get_by_role("radio", name="Yes").focus()
    await page.keyboard.press("Space")
    await page.get_by_label("What came of it").focus()
    await page.keyboard.type("Sleeps better")
    await page.keyboard.press("Control+Enter")
    await page.wait_for_url("**/desk/cases/**done=log-contact**")
    assert "Sleeps better" in await page.content()
    assert "contact-logged" in await office.kinds(case_id)


async def test_the_main_job_works_without_scripts(office: Office, opened: Any) -> None:
    """Sign in, Today, a case, a note."""
    case_id = await office.open(person=ALICE, owner="cm-anna")
    page = await opened("cm-anna", java_script_enabled=False)
    await page.get_by_role("link", name="Alice Zephyrine").first.click()
    await page.get_by_role("link", name="Add a note").click()
    await page.get_by_label("Text").fill("Her son has a key")
    await page.get_by_role("button", name="Add a note").click()
    await page.wait_for_url("**/desk/cases/**done=add-note**")
    assert "note-added" in await office.kinds(case_id)


async def test_text_that_was_typed_is_there_again_when_one_comes_back(office: Office, opened: Any) -> None:
    """And is let go of when it was sent."""
    case_id = await office.open(person=ALICE, owner="cm-anna")
    page = await opened("cm-anna")
    await page.goto(f"/desk/cases/{case_id}/do/add-note")
    await page.get_by_label("Text").fill("Half a sentence")
    await page.goto("/desk/")
    await page.goto(f"/desk/cases/{case_id}/do/add-note")
    assert await page.get_by_label("Text").input_value() == "Half a sentence"
    await page.goto(f"/desk/cases/{await office.open(owner='cm-anna')}/do/add-note")
    assert await page.get_by_label("Text").input_value() == ""


async def test_a_safety_item_that_turns_positive_gives_its_advice_at_once(office: Office, opened: Any) -> None:
    """Before the rest is answered, and before anything is sent."""
    case_id = await office.open(person=ALICE, owner="cm-anna")
    page = await opened("cm-anna")
    await page.goto(f"/desk/cases/{case_id}/do/record-score?instrument=phq-9")
    advice = page.locator("#advice-q9")
    assert not await advice.is_visible()
    await page.locator('input[name="answers.q9"][value="1"]').check()
    assert await advice.is_visible()
    await page.locator('input[name="answers.q9"][value="0"]').check()
    assert not await advice.is_visible()


async def test_a_question_that_an_answer_leads_to_appears_at_once(office: Office, opened: Any) -> None:
    """And goes again with the answer; what was typed in the meantime stays."""
    case_id = await office.open(owner="cm-anna")
    await office.do(case_id, "record-consent", form="verbal")
    await office.do(case_id, "complete-screening", accepted=True)
    page = await opened("cm-anna", **SMALL)
    await page.goto(f"/desk/cases/{case_id}/do/record-assessment?sections.0.name=social-determinants")
    losing = page.get_by_text("Might the person lose this place within three months?")
    assert await losing.count() == 0
    await page.locator("[name='sections.0.findings']").fill("A good talk")
    await page.get_by_label("Own home or lease").check()
    await losing.wait_for()
    assert await page.locator("[name='sections.0.findings']").input_value() == "A good talk"
    assert await page.get_by_label("Own home or lease").is_checked()
    await page.get_by_label("Outside or in a car").check()
    await losing.wait_for(state="detached")
    assert await _violations(Axe(), page) == []


async def test_what_was_typed_in_one_questionnaire_is_not_in_another_and_advice_comes_back_with_its_answer(
    office: Office, opened: Any
) -> None:
    """All instruments call their first item q1; a restored answer to the safety item shows its advice."""
    case_id = await office.open(person=ALICE, owner="cm-anna")
    page = await opened("cm-anna")
    path = f"/desk/cases/{case_id}/do/record-score"
    await page.goto(f"{path}?instrument=phq-9")
    await page.locator('input[name="answers.q1"][value="3"]').check()
    await page.locator('input[name="answers.q9"][value="2"]').check()
    await page.goto(f"{path}?instrument=gad-7")
    assert await page.locator('input[name^="answers."]:checked').count() == 0
    await page.goto(f"{path}?instrument=phq-9")
    assert await page.locator('input[name="answers.q1"][value="3"]').is_checked()
    assert await page.locator("#advice-q9").is_visible()
    assert await page.locator("#restored").is_visible()
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/desk/sign-in")
    assert await page.evaluate("() => Object.keys(sessionStorage).length") == 0


async def test_an_escalation_appears_without_a_reload_and_moves_nothing_under_the_pointer(
    office: Office, opened: Any
) -> None:
    """The supervisor looks at an empty list; a promise is missed and climbs to him."""
    page = await opened("sup-1")
    await page.goto("/desk/escalations")
    assert await page.get_by_text("Nobody is waiting for an answer from you.").is_visible()
    case_id = await office.open(program="demo", person=ALICE, owner="cm-anna")
    await office.climb(case_id, "stage", "supervisor")
    await page.get_by_role("link", name="Alice Zephyrine").wait_for(timeout=10_000)


SMALL: dict[str, Any] = {"viewport": {"width": 320, "height": 700}, "color_scheme": "dark"}


async def test_axe_finds_nothing_on_any_page_and_nothing_is_wider_than_the_screen(
    office: Office, opened: Any
) -> None:
    """All pages of a supervisor, and a case that has everything: small and dark, then wide and light.

    The second time what differs is the colours and the room; the rest of the page is the same.
    """
    await office.hire()
    case_id = await office.open(person=ALICE, owner="cm-anna")
    await office.walk(case_id)
    await office.do(case_id, "raise-crisis", description="x", immediate_danger=False)
    clock = (await office.get("cm-anna", "/work")).json()["items"][0]["clock_id"]
    page, axe = await opened("sup-1", **SMALL), Axe()
    paths = ["", "?group=week", "people?q=alice", "refer", "escalations", "caseload", "lists", "lists/crises"]
    paths += ["notices", "reports", "reports/clock-timeliness", "staff", "rosters/north", "programs", "help"]
    paths += ["programs/complex-care/2", "help/case-manager"]
    paths += ["me", "me/absence", "me/email", "staff/add", "staff/cm-anna/entry", "rosters/north/entry"]
    person = (await office.get("cm-anna", "/persons", q="zephyrine")).json()["items"][0]["person_id"]
    paths += [f"people/{person}", f"people/{person}/details"]
    paths += [f"cases/{case_id}{part}" for part in ("", "/timeline", f"/why/{clock}", "/print/summary")]
    found = {}
    for path in paths:
        await page.set_viewport_size(SMALL["viewport"])
        await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        await page.goto(f"/desk/{path}")
        found[path] = await _violations(axe, page)
        await page.set_viewport_size({"width": 1280, "height": 900})
        await page.emulate_media(color_scheme="light", reduced_motion="reduce")
        found[f"{path}, light"] = await _violations(axe, page, runOnly=["color-contrast"])
    assert {path: ids for path, ids in found.items() if ids} == {}


async def test_axe_finds_nothing_on_the_pages_of_a_director(opened: Any) -> None:
    """A simulation, what is kept, and where events are posted: list, form, the secret shown once, one endpoint."""
    page, axe = await opened("dir-1", **SMALL), Axe()
    found = {}
    simulation = "programs/transitions/1/simulation?scenario=friday-discharge"
    for path in (simulation, "retention", "webhooks", "webhooks/add"):
        await page.goto(f"/desk/{path}")
        found[path] = await _violations(axe, page)
    await page.fill("#f-url", "https://example.org/caseloom")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("Keep it now.").wait_for()
    found["secret"] = await _violations(axe, page)
    await page.goto("/desk/webhooks")
    await page.get_by_role("link", name="https://example.org/caseloom").first.click()
    await page.get_by_role("button", name="Post again").wait_for()
    found["one"] = await _violations(axe, page)
    assert {path: ids for path, ids in found.items() if ids} == {}


def _unlike_each_other() -> list[str]:
    """Commands whose forms have something that none before has: a kind of field, needed or not, in rows or not."""
    seen: set[Any] = set()
    chosen = []
    for command in FROM_PEOPLE:
        fields = form_of(command.kind, schema_of(command), words.of("en"), {}, {}, {})
        news = {
            (f.kind, f.required, f.as_list, tuple(p.kind for p in f.parts), len(f.rows)) for f in fields
        } - seen
        seen |= news
        chosen += [command.kind] if news else []
    return chosen


async def test_axe_finds_nothing_on_the_forms_that_make_themselves(office: Office, opened: Any) -> None:
    """On a small screen; one of each shape, and with ALL_FORMS=1 every one."""
    case_id = await office.open(person=ALICE, owner="cm-anna")
    await office.walk(case_id)
    page, axe = await opened("sup-1", **SMALL), Axe()
    found = {}
    for kind in [command.kind for command in FROM_PEOPLE] if os.environ.get("ALL_FORMS") else _unlike_each_other():
        answer = await page.goto(f"/desk/cases/{case_id}/do/{kind}")
        assert answer is not None
        assert answer.status == 200, kind
        found[kind] = await _violations(axe, page)
    assert {kind: ids for kind, ids in found.items() if ids} == {}


async def _violations(axe: Axe, page: Page, **more: Any) -> list[str]:
    """What axe finds wrong with a page, and whether one has to scroll sideways."""
    results = await axe.run(page, options={"resultTypes": ["violations"], **more})
    said = [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in results.response["violations"]]
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*said, *(["wider than the screen"] if wide > 0 else [])]
