"""Who is let in: no token outlives its person, none that is for something else, none too many."""

import time
from typing import Any

import jwt
import pytest
import structlog

from api.standing import KNOWN_SECONDS
from infra import tokens
from tests.office import Office
from tests.story import referral

ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def signed(office: Office, header: dict[str, str] | None = None, **more: Any) -> dict[str, str]:
    """A token of cm-anna under the local key, with other claims."""
    settings = office.parts.settings
    now = int(time.time())
    claims: dict[str, Any] = {"sub": "cm-anna", "role": "case-manager", "teams": ["north"], "tenant": "local"}
    claims |= {"iss": settings.issuer, "aud": settings.audience, "iat": now, "exp": now + 600, **more}
    key = tokens.signing_key(settings.data_dir)
    return {"Authorization": f"Bearer {jwt.encode(claims, key, algorithm='EdDSA', headers=header)}"}


async def status(office: Office, headers: dict[str, str]) -> int:
    return int((await office.http.get("/cases", headers=headers)).status_code)


@ONE
async def test_a_token_that_is_for_something_else_or_lives_too_long_signs_nobody_in(quiet_office: Office) -> None:
    assert await status(quiet_office, signed(quiet_office)) == 200
    others: list[dict[str, Any]] = [{"nonce": "n"}, {"at_hash": "x"}, {"typ": "ID"}]
    for more in (*others, {"sub": "caseloom", "role": "director"}):
        assert await status(quiet_office, signed(quiet_office, **more)) == 401, more
    assert await status(quiet_office, signed(quiet_office, {"typ": "id+jwt"})) == 401
    assert await status(quiet_office, signed(quiet_office, exp=int(time.time()) + 25 * 3600)) == 401
    assert await status(quiet_office, signed(quiet_office, exp=253_402_300_799)) == 401


@ONE
async def test_who_is_made_inactive_is_out_and_back_when_active_again(
    quiet_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office, now = quiet_office, time.monotonic()
    monkeypatch.setattr("api.standing.time.monotonic", lambda: now)
    headers = office.sign_in("cm-anna")
    assert await status(office, headers) == 200
    entry = {"name": "cm-anna", "role": "case-manager", "team": "north", "supervisor": "sup-1"}
    for active, wanted in ((False, 401), (True, 200)):
        put = await office.http.put(
            "/staff/cm-anna", json={**entry, "active": active}, headers=office.sign_in("dir-1")
        )
        assert put.status_code == 200, put.text
        now += KNOWN_SECONDS + 0.1
        assert KNOWN_SECONDS < 5
        assert await status(office, headers) == wanted


@ONE
async def test_who_is_signed_out_needs_a_new_token(quiet_office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed too, by a director; a supervisor signs out his own team's people."""
    office, now = quiet_office, time.monotonic()
    monkeypatch.setattr("api.standing.time.monotonic", lambda: now)
    old, feed = signed(office, iat=int(time.time()) - 5), signed(office, sub="adt", role="integrator")
    assert (await office.post("sup-2", "/staff/cm-anna/sign-out", None)).status_code == 403
    assert (await office.post("sup-1", "/staff/adt/sign-out", None)).status_code == 403
    assert (await office.post("sup-1", "/staff/cm-anna/sign-out", None)).status_code == 204
    assert (await office.post("dir-1", "/staff/adt/sign-out", None)).status_code == 204
    now += KNOWN_SECONDS + 0.1
    assert (await status(office, old), await status(office, feed)) == (401, 401)
    assert await status(office, signed(office, iat=int(time.time()) + 2)) == 200


@ONE
async def test_too_many_requests_of_one_person_are_429_and_others_go_on(quiet_office: Office) -> None:
    office = quiet_office
    most = office.parts.settings.requests_per_minute
    headers = office.sign_in("cm-anna")
    for _ in range(most):
        await office.parts.limits.check("local", "cm-anna", False)
    answer = await office.http.get("/cases", headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (
        429,
        "TooManyRequests",
        "60",
    )
    assert (await office.get("cm-ben", "/cases")).status_code == 200


@ONE
async def test_bad_tokens_are_429_after_a_while_and_a_good_one_from_the_same_place_is_taken(
    quiet_office: Office,
) -> None:
    bad = {"Authorization": "Bearer x.y.z"}
    seen = [await status(quiet_office, bad) for _ in range(62)]
    assert (seen[0], seen[-1]) == (401, 429)
    assert await status(quiet_office, quiet_office.sign_in("cm-anna")) == 200


@ONE
async def test_every_answer_forbids_keeping_framing_and_guessing(quiet_office: Office) -> None:
    """Also a refusal, a page that is not there, and a fault of ours."""
    office = quiet_office
    for path, wanted in (("/cases", 200), ("/nowhere", 404), ("/healthz", 200), ("/caseload", 500)):
        if wanted == 500:
            office.app.state.system = None
        answer = await office.http.get(path, headers=office.sign_in("cm-anna"))
        assert answer.status_code == wanted
        for name in ("cache-control", "x-content-type-options", "x-frame-options", "content-security-policy"):
            assert name in answer.headers, (path, name)
        assert answer.headers["cache-control"] == "no-store"
    office.app.state.system = office.parts
    assert (await office.http.get("/cases")).headers["cache-control"] == "no-store"


@ONE
async def test_a_request_under_another_name_is_refused_and_no_slash_sends_anybody_there(
    quiet_office: Office,
) -> None:
    evil = {**quiet_office.sign_in("cm-anna"), "Host": "evil.example"}
    assert (await quiet_office.http.get("/cases", headers=evil)).status_code == 421
    slash = await quiet_office.http.get("/cases/", headers=quiet_office.sign_in("cm-anna"))
    assert slash.status_code in (404, 422)


@ONE
async def test_what_one_request_said_of_itself_stands_in_no_other_ones_log_line(
    quiet_office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    structlog.contextvars.bind_contextvars(actor="somebody-else", case_id="of-another-request")
    capsys.readouterr()
    assert (await quiet_office.http.get("/cases")).status_code == 401
    said = capsys.readouterr()
    assert "NotSignedIn" in said.out + said.err
    assert "somebody-else" not in said.out + said.err


@ONE
async def test_the_description_and_its_page_come_from_our_own_files(quiet_office: Office) -> None:
    page = await quiet_office.http.get("/docs")
    assert page.status_code == 200
    assert "//" not in page.text.replace("<!", "")
    for path in ("/docs/files/swagger-ui.css", "/docs/files/swagger-ui-bundle.js", "/docs/start.js"):
        assert path in page.text
        assert (await quiet_office.http.get(path)).status_code == 200
    described = (await quiet_office.http.get("/openapi.json")).json()
    assert "/cases/{case_id}/commands/add-note" in described["paths"]


@ONE
async def test_in_production_the_description_is_for_who_is_signed_in(quiet_office: Office) -> None:
    office = quiet_office
    strict = office.parts.settings.model_copy(update={"profile": "production"})
    object.__setattr__(office.parts, "settings", strict)
    assert (await office.http.get("/openapi.json")).status_code == 401
    assert (await office.http.get("/docs")).status_code == 401
    answer = await office.http.get("/openapi.json", headers=office.sign_in("cm-anna"))
    assert answer.status_code == 200


@ONE
async def test_a_case_is_not_opened_for_a_team_that_nobody_is_in(quiet_office: Office) -> None:
    body = {"program": "complex-care", "referral": referral(), "team": "nowhere"}
    answer = await quiet_office.post("ehr-1", "/cases", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "UnknownTeam")
