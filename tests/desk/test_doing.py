"""What becomes of a command that somebody types: done, refused, late, kept, unknown; her text is never lost."""

import dataclasses
import time
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from desk.app import app
from desk.session import PLACE
from infra import database, temporal
from infra.loopback import free_port
from tests.conftest import KEY
from tests.desk.conftest import Browser, fields
from tests.office import Office

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
CALL = {"mode": "telephone", "party": "patient", "reached": "yes", "outcome": "Sleeps better"}


@pytest.fixture
async def case_id(office: Office) -> str:
    return await office.open(owner="cm-anna")


async def test_a_contact_is_logged_by_a_form_and_a_second_click_logs_none(
    office: Office, at: Any, case_id: str
) -> None:
    """The same page sent twice is one contact; what was left out is asked for at its field, with the rest kept."""
    anna = await at("cm-anna")
    path = f"/desk/cases/{case_id}/do/log-contact"
    form = {**fields(await anna.page(path)), **CALL}
    lacks = await anna.post(path, **{**form, "outcome": ""})
    assert lacks.status_code == 422
    assert 'href="#f-outcome"' in lacks.text
    assert fields(lacks.text)["mode"] == "telephone"
    assert "<title>Error: " in lacks.text
    for _ in range(2):
        done = await anna.post(path, **form)
        assert done.headers["location"].startswith(f"/desk/cases/{case_id}?done=log-contact")
    assert (await office.kinds(case_id)).count("contact-logged") == 1
    html = await anna.page(done.headers["location"])
    assert "Recorded:" in html
    assert "Reached the The person" not in html
    assert "Sleeps better" in html


async def test_a_refusal_keeps_the_form_and_says_what_is_open(at: Any, case_id: str) -> None:
    """Closing needs to be looked at once more, and then says what is still open."""
    anna = await at("cm-anna")
    path = f"/desk/cases/{case_id}/do/close"
    form = {**fields(await anna.page(path)), "reason": "goals-met", "note": "She manages"}
    asked = await anna.post(path, **form)
    assert (asked.status_code, 'name="_checked"' in asked.text) == (200, True)
    refused = await anna.post(path, **{**form, "_checked": "1"})
    assert refused.status_code == 409
    assert "Something is still open" in refused.text
    assert "She manages" in refused.text


async def test_who_replaces_what_somebody_has_changed_meanwhile_is_told_so(
    office: Office, at: Any, case_id: str
) -> None:
    """The plan is sent with the state that it was written on."""
    await office.do(case_id, "record-consent", form="verbal")
    anna = await at("cm-anna")
    path = f"/desk/cases/{case_id}/do/set-risk-tier"
    form = fields(await anna.page(path))
    await office.do(case_id, "add-note", "cm-ben", text="x")
    late = await anna.post(path, **{**form, "tier": "high", "reasons": "lives alone"})
    assert late.status_code == 412
    assert "lives alone" in late.text
    assert fields(late.text)["_key"] != form["_key"]
    assert int(fields(late.text)["_seen"]) > int(form["_seen"])


async def test_with_the_engine_away_the_same_key_is_sent_again(office: Office, at: Any, case_id: str) -> None:
    """Nobody can say whether it was taken: the form stays, and repeats it until that is known."""
    anna = await at("cm-anna")
    path = f"/desk/cases/{case_id}/do/add-note"
    form = {**fields(await anna.page(path)), "text": "Her son has a key"}
    there = app.state.system
    gone = await Client.connect(f"127.0.0.1:{free_port()}", lazy=True, plugins=[temporal.plugin([KEY])])
    app.state.system = dataclasses.replace(there, client=gone)
    unknown = await anna.post(path, **form)
    assert unknown.status_code == 503
    assert "Her son has a key" in unknown.text
    assert fields(unknown.text)["_key"] == form["_key"]
    app.state.system = there
    assert (await anna.post(path, **form)).status_code == 303
    assert (await office.kinds(case_id)).count("note-added") == 1


async def test_a_command_that_waits_says_so_and_then_what_became_of_it(
    office: Office, at: Any, case_id: str, engine: AsyncEngine
) -> None:
    """While the record takes nothing it is kept; its page asks again by itself, or by a link without a script."""
    anna = await at("cm-anna")
    there = app.state.system
    app.state.system = dataclasses.replace(there, settings=there.settings.model_copy(update={"update_seconds": 2}))
    path = f"/desk/cases/{case_id}/do/add-note"
    form = {**fields(await anna.page(path)), "text": "x"}
    async with engine.connect() as holder:
        await holder.exec_driver_sql("SELECT 1")
        kept = await anna.post(path, **form)
        assert "/waiting/" in kept.headers["location"]
        html = await anna.page(kept.headers["location"])
        assert "Kept safely, not decided yet" in html
        assert 'hx-trigger="every 5s"' in html
        await holder.rollback()
    app.state.system = there

    async def applied() -> bool:
        return "It was applied" in await anna.page(kept.headers["location"])

    await office.until(applied)


async def test_an_instrument_is_a_questionnaire_whose_safety_item_gives_advice(at: Any, case_id: str) -> None:
    """What is not answered is not taken for nothing: the case asks for it by name."""
    anna = await at("cm-anna")
    office: Office = anna.office
    await office.do(case_id, "record-consent", form="verbal")
    path = f"/desk/cases/{case_id}/do/record-score"
    html = await anna.page(path, instrument="phq-9")
    assert html.count('class="choice question') == 10  # and how hard it has made things
    form = {**fields(html), "answers.q1": "2", "answers.q9": "1"}
    wrong = await anna.post(path, **{**form, "answers.q2": "7"})
    assert wrong.status_code == 422
    assert 'class="advice" id="advice-q9" role="status"' in wrong.text
    assert (await anna.post(path, **form)).status_code == 303
    page = await anna.page(f"/desk/cases/{case_id}")
    assert "Complete phq-9 2001: q2, q3" in page
    assert "Assess the risk of suicide" in page


async def test_a_section_is_its_form_and_what_was_begun_is_gone_on_with_by_somebody_else(
    office: Office, at: Any
) -> None:
    """Questions appear as answers lead to them; what is missing is said at its question."""
    case_id = await office.open(owner="cm-anna")
    await office.do(case_id, "record-consent", form="verbal")
    await office.do(case_id, "complete-screening", accepted=True)
    anna, ben = await at("cm-anna"), await at("cm-ben")
    path = f"/desk/cases/{case_id}/do/record-assessment"
    assert "sections.0.name=social-determinants" in await anna.page(path)
    named = {"sections.0.name": "social-determinants"}
    html = await anna.page(path, **named)
    answer = "sections.0.answers."
    assert f'name="{answer}living-situation"' in html
    assert f'name="{answer}losing-home"' not in html
    form = {**fields(html), **named, f"{answer}living-situation": "own-home"}
    looked = await anna.post(path, **{**form, "_look": "1"})
    assert f'name="{answer}losing-home"' in looked.text
    lacks = await anna.post(path, **form)
    assert lacks.status_code == 422
    assert f'href="#f-{answer.replace(".", "-")}food-short"' in lacks.text
    begun = {**form, "sections.0.complete": "no", "sections.0.answered_by": "proxy"}
    assert (await anna.post(path, **begun)).status_code == 303
    html = await ben.page(path, **named)
    assert "You go on with what was begun by" in html
    assert fields(html)[f"{answer}living-situation"] == "own-home"
    whole = {
        f"{answer}food-short": "never",
        f"{answer}transport": "none",
        f"{answer}someone-to-call": "yes",
        "sections.0.skipped.safe-at-home": "declined",
    }
    done = await ben.post(path, **{**fields(html), **named, **whole, "sections.0.complete": "yes"})
    assert done.status_code == 303
    written = (await office.get("cm-anna", f"/cases/{case_id}/forms/social-determinants")).json()["last"]
    assert (written["author"], written["answers"]["transport"]) == ("cm-ben", ["none"])
    assert written["skipped"] == {"safe-at-home": "declined"}
    assert f"/desk/cases/{case_id}/sections/social-determinants" in await anna.page(f"/desk/cases/{case_id}")
    read = await anna.page(f"/desk/cases/{case_id}/sections/social-determinants")
    assert "Where does the person live?" in read
    assert "Own home" in read
    assert "The person does not want to say" in read
    auditor = await at("aud-1")
    assert "under the label" in await auditor.page(f"/desk/cases/{case_id}/sections/social-determinants")


async def test_a_page_that_was_opened_before_a_colleague_wrote_replaces_nothing_unasked(
    office: Office, at: Any
) -> None:
    """It says so, keeps what was typed, and goes on from what is there now when it is sent again."""
    case_id = await office.open(owner="cm-anna")
    await office.do(case_id, "record-consent", form="verbal")
    await office.do(case_id, "complete-screening", accepted=True)
    anna, ben = await at("cm-anna"), await at("cm-ben")
    path, named = f"/desk/cases/{case_id}/do/record-assessment", {"sections.0.name": "social-determinants"}
    form = {**named, "sections.0.complete": "no", "sections.0.answers.food-short": "often"}
    mine = {**fields(await anna.page(path, **named)), **form}
    assert (await ben.post(path, **{**fields(await ben.page(path, **named)), **form})).status_code == 303
    late = await anna.post(path, **mine)
    assert late.status_code == 409
    assert fields(late.text)["sections.0.answers.food-short"] == "often"
    assert (await anna.post(path, **{**fields(late.text), **form})).status_code == 303


async def test_nothing_is_changed_from_elsewhere_or_by_nobody(office: Office, at: Any, case_id: str) -> None:
    """Another site's form, a cookie that was altered, one of another purpose, a person who has left."""
    anna: Browser = await at("cm-anna")
    path = f"/desk/cases/{case_id}/do/add-note"
    form = {**fields(await anna.page(path)), "text": "x"}
    elsewhere = [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {},
    ]
    for headers in elsewhere:
        assert (await anna.http.post(path, data=form, headers=headers)).status_code == 403
    [cookie] = anna.http.cookies.jar
    kept = str(cookie.value)
    other = office.parts.keys.encrypted_text('{"sub":"dir-1"}', "staff/local/dir-1")
    for value in (kept[:-4] + "AAAA", other, "x", office.parts.keys.encrypted_text("{}", PLACE)):
        anna.http.cookies.set(cookie.name, value, domain=cookie.domain, path="/")
        assert (await anna.post(path, **form)).status_code == 401
        assert (await anna.get("/desk/")).headers["location"].startswith("/desk/sign-in")
    assert "note-added" not in await office.kinds(case_id)


async def test_the_door_is_open_on_ones_own_machine_alone(office: Office, at: Any) -> None:
    """Switched off, through a proxy, under another name, with a provider: there is no such page."""
    anna: Browser = await at("cm-anna")
    assert (await anna.get("/desk/sign-in")).status_code == 200
    assert (await anna.http.get("/desk/sign-in", headers={"X-Forwarded-For": "10.0.0.1"})).status_code == 404
    there = app.state.system
    for more in ({"local_sign_in": False}, {"jwks_url": "https://id.example/jwks"}):
        app.state.system = dataclasses.replace(there, settings=there.settings.model_copy(update=more))
        assert (await anna.get("/desk/sign-in")).status_code == 404
        assert (await anna.post("/desk/sign-in", subject="dir-1")).status_code == 404
    app.state.system = there
    assert (await anna.post("/desk/sign-in", subject="nobody")).status_code == 404
    away = await anna.http.get("/desk/sign-in", params={"next": "https://evil.example/"})
    assert "evil.example" not in away.text
    assert (await anna.post("/desk/sign-out")).headers["location"] == "/desk/sign-in"
    assert (await anna.get("/desk/")).status_code == 303


async def test_the_auditor_reads_and_can_do_nothing(at: Any, case_id: str) -> None:
    """No form opens, and none is taken."""
    auditor = await at("aud-1")
    anna = await at("cm-anna")
    form = {**fields(await anna.page(f"/desk/cases/{case_id}/do/add-note")), "text": "x"}
    assert "/do/" not in await auditor.page(f"/desk/cases/{case_id}")
    assert (await auditor.post(f"/desk/cases/{case_id}/do/add-note", **form)).status_code == 403
    assert (await auditor.get("/desk/refer")).status_code == 403


async def test_a_person_is_looked_for_first_and_never_made_twice_in_silence(office: Office, at: Any) -> None:
    """A second Alice is asked about; said to be another one, she is referred."""
    anna = await at("cm-anna")
    path = "/desk/refer"
    typed = {"given": "Alice", "family": "Zephyrine", "birth_date": "1950-05-05", "program": "complex-care"}
    typed |= {"source": "primary-care", "reason": "Two admissions"}
    opened = await anna.fill(path, **typed)
    assert opened.status_code == 303, opened.text[-3000:]
    assert "Alice Zephyrine" in await anna.page(opened.headers["location"])
    again = await anna.fill(path, **typed)
    assert again.status_code == 409
    assert "She may be one of these" in again.text
    other = await anna.post(path, **{**fields_of(again.text), **typed, "is_new": "yes"})
    assert other.status_code == 303
    found = await anna.page("/desk/people", q="zefirine alice")
    assert found.count("Alice Zephyrine") >= 2


def fields_of(html: str) -> dict[str, Any]:
    return {name: value for name, value in fields(html).items() if name == "_key"}


async def test_a_page_that_somebody_else_opened_is_not_sent_under_ones_own_name_unasked(
    office: Office, at: Any, case_id: str
) -> None:
    """Anna writes, Sam signs in at the same browser: he is told whose page it is, and may send it as his."""
    anna: Browser = await at("cm-anna")
    path = f"/desk/cases/{case_id}/do/add-note"
    form = {**fields(await anna.page(path)), "text": "Her son has a key"}
    await anna.post("/desk/sign-in", subject="sup-1")
    asked = await anna.post(path, **form)
    assert asked.status_code == 409
    assert "Her son has a key" in asked.text
    assert "note-added" not in await office.kinds(case_id)
    assert (await anna.post(path, **{**form, **fields(asked.text)})).status_code == 303


async def test_a_copy_of_a_session_that_was_signed_out_signs_nobody_in(
    at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for pages nor for commands; her other sessions go on."""
    now = time.monotonic()
    monkeypatch.setattr("api.standing.time.monotonic", lambda: now)
    anna, other = await at("cm-anna"), await at("cm-anna")
    [cookie] = anna.http.cookies.jar
    now += 10
    await anna.post("/desk/sign-out")
    now += 10
    anna.http.cookies.set(cookie.name, str(cookie.value), domain=cookie.domain, path="/")
    assert (await anna.get("/desk/")).status_code == 303
    assert (await other.get("/desk/")).status_code == 200


async def test_a_key_is_kept_until_it_is_certain_that_nothing_was_done(
    office: Office, at: Any, case_id: str
) -> None:
    """First nobody can say, then the record is away, then it is taken: one note and not two."""
    anna = await at("cm-anna")
    path = f"/desk/cases/{case_id}/do/add-note"
    form = {**fields(await anna.page(path)), "text": "x"}
    there = app.state.system
    gone = await Client.connect(f"127.0.0.1:{free_port()}", lazy=True, plugins=[temporal.plugin([KEY])])
    app.state.system = dataclasses.replace(there, client=gone)
    first = await anna.post(path, **form)
    app.state.system = dataclasses.replace(
        there, engine=database.connect("sqlite+aiosqlite:////nowhere/at/all.db"), client=gone
    )
    away = await anna.post(path, **{**form, **fields(first.text)})
    app.state.system = there
    assert (first.status_code, away.status_code) == (503, 503)
    assert fields(first.text)["_key"] == form["_key"]
    assert (await anna.post(path, **form)).status_code == 303
    assert (await office.kinds(case_id)).count("note-added") == 1


async def test_who_was_given_one_task_of_a_case_does_it_at_the_desk(office: Office, at: Any) -> None:
    """Of another team's case she has the task, and nothing else."""
    case_id = await office.open(owner="cm-anna")
    await office.walk(case_id)
    task = (await office.do(case_id, "add-task", task="education"))["created"][0]
    await office.do(case_id, "assign-task", "dir-1", task_id=task, assignee="cm-cora")
    cora: Browser = await at("cm-cora")
    assert f"/do/complete-task?task_id={task}" in await cora.page("/desk/?group=later") + await cora.page("/desk/")
    path = f"/desk/cases/{case_id}/do/complete-task"
    form = fields(await cora.page(path, task_id=task))
    assert (await cora.post(path, **{**form, "task_id": task})).status_code == 303
    assert (await cora.get(f"/desk/cases/{case_id}/do/add-task")).status_code in (403, 404)


async def test_what_is_to_be_approved_is_on_the_page_on_which_it_is_decided(office: Office, at: Any) -> None:
    """Who asks, for what and why."""
    case_id = await office.open(owner="cm-anna")
    await office.walk(case_id)
    asked = await office.do(
        case_id, "request-approval", subject="tier-override", tier="low", note="Her son moved in"
    )
    senior = await at("senior-1")
    html = await senior.page(f"/desk/cases/{case_id}/do/decide-approval", approval_id=asked["created"][0])
    assert "Her son moved in" in html


async def test_a_form_that_replaces_something_begins_with_what_stands(office: Office, at: Any) -> None:
    """The plan with its goals, the safety plan with its steps."""
    case_id = await office.open(owner="cm-anna")
    await office.walk(case_id)
    steps = ("coping", "distractions", "people", "professionals", "environment", "reasons_for_living")
    said = {**{name: ["x"] for name in steps}, "warning_signs": ["does not sleep"]}
    await office.do(case_id, "write-safety-plan", **said)
    anna = await at("cm-anna")
    assert "Stay out of hospital" in await anna.page(f"/desk/cases/{case_id}/do/revise-plan")
    assert "does not sleep" in await anna.page(f"/desk/cases/{case_id}/do/write-safety-plan")
    assert "does not sleep" in await anna.page(f"/desk/cases/{case_id}")


async def test_what_nobody_has_done_is_not_said_to_be_done_and_wrong_words_never_break_a_page(
    at: Any, case_id: str
) -> None:
    anna, auditor = await at("cm-anna"), await at("aud-1")
    made_up = await anna.page(f"/desk/cases/{case_id}", done="report-death", command="abc123")
    assert "Recorded:" not in made_up
    assert (await anna.post(f"/desk/cases/{case_id}/do/add-note", _seen="abc", text="x")).status_code in (303, 422)
    for path in ("/desk/people/Maria%20Lopez", "/desk/cases/Maria%20Lopez", "/desk/nowhere", "/desk/lists/gossip"):
        assert (await anna.get(path)).status_code in (404, 422), path
    assert (await auditor.get("/desk/audit", actor="Anna Abel's", case_id="a b")).status_code == 200
    assert (await auditor.get("/desk/people", q="x" * 3000)).status_code == 200
    wrong = await anna.get("/desk/reports/intake", first="2026-02-02", last="2026-01-01")
    assert (wrong.status_code, "The last day is before the first" in wrong.text) == (200, True)


async def test_a_second_case_in_a_programme_is_asked_about_first(office: Office, at: Any) -> None:
    anna = await at("cm-anna")
    typed = {"given": "Alice", "family": "Zephyrine", "birth_date": "1950-05-05", "program": "complex-care"}
    typed |= {"source": "primary-care", "reason": "Two admissions"}
    opened = await anna.fill("/desk/refer", **typed)
    case = (await office.get("cm-anna", opened.headers["location"].removeprefix("/desk"))).json()["case"]
    person = case["referral"]["patient"]["reference"]
    again = {"program": "complex-care", "source": "self", "reason": "again", "person_id": person}
    asked = await anna.fill(f"/desk/refer?person_id={person}", **again)
    assert asked.status_code == 409
    assert "She has an open case of this programme" in asked.text
    assert "Alice Zephyrine" in asked.text
    assert (await anna.post("/desk/refer", **{**fields(asked.text), **again, "twin": "yes"})).status_code == 303
    assert (await anna.get("/desk/refer", person_id="nobody")).status_code == 404
