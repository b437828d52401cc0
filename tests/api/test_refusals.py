"""Who may not, what is malformed, what is too large. Nothing that is refused changes anything."""

from datetime import timedelta
from typing import Any

import jwt
import pytest

from api.app import build
from domain.commands import FROM_PEOPLE
from domain.values import Role
from infra import tokens
from tests.office import Office
from tests.story import referral

ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


OPEN = ("/healthz", "/calendar/{token}.ics", "/cds-services", "/fhir/.well-known/smart-configuration")


def routes() -> list[tuple[str, str]]:
    """Every route of the application but the one that needs no token."""
    found = build().openapi()["paths"]
    return [(m.upper(), path) for path, item in found.items() for m in item if path not in OPEN]


@ONE
async def test_every_route_but_those_without_sign_in_wants_a_token(quiet_office: Office) -> None:
    """A new route is covered by itself."""
    assert len(routes()) > len(FROM_PEOPLE)
    for method, path in routes():
        answer = await quiet_office.http.request(method, path.replace("{version}", "1"), json={})
        said = answer.json()
        code = said["issue"][0]["details"]["coding"][0]["code"] if path.startswith("/fhir") else said["code"]
        assert (answer.status_code, code) == (401, "NotSignedIn"), path
    assert (await quiet_office.http.get("/healthz")).status_code == 200


@ONE
async def test_a_token_that_cannot_be_trusted_is_401(quiet_office: Office) -> None:
    """Unsigned, expired, for another audience, under another key, of no known role, or of the system."""
    settings = quiet_office.parts.settings
    good = tokens.issue(settings, "cm-anna", Role.CASE_MANAGER, ["north"])
    claims = jwt.decode(good, options={"verify_signature": False})
    key = tokens.signing_key(settings.data_dir)

    def signed(**more: Any) -> str:
        return jwt.encode({**claims, **more}, key, algorithm="EdDSA")

    bad = {
        "unsigned": jwt.encode(claims, "", algorithm="none"),
        "symmetric": jwt.encode(claims, "x" * 32, algorithm="HS256"),
        "expired": tokens.issue(settings, "a", Role.AUDITOR, lifetime=timedelta(minutes=-5)),
        "audience": signed(aud="another"),
        "issuer": signed(iss="another"),
        "role": signed(role="owner-of-everything"),
        "system": signed(role="system"),
        "tenant": signed(tenant="../other"),
        "nonsense": "a.b.c",
    }
    for name, token in bad.items():
        answer = await quiet_office.http.get("/cases", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, name
    answer = await quiet_office.http.get("/cases", headers={"Authorization": f"Bearer {signed()}"})
    assert answer.status_code == 200


async def test_nobody_learns_of_a_case_out_of_scope(office: Office) -> None:
    """Other team, other integrator, other tenant: the same answer as for a case that is not there."""
    case_id = await office.open("ehr-1", owner="cm-anna")
    absent = await office.get("cm-cora", "/cases/nosuchcase")
    for person in ("cm-cora", "sup-2", "ehr-2", "dir-x"):
        for path in (f"/cases/{case_id}", f"/cases/{case_id}/timeline", f"/cases/{case_id}/commands/x"):
            answer = await office.get(person, path)
            assert (answer.status_code, answer.json()) == (404, absent.json()), (person, path)
        assert await office.refused(case_id, "add-note", person, text="x") == (404, "NotFound")
        for listing in ("/cases", "/escalations", "/caseload", "/worklist?owner=cm-anna"):
            assert case_id not in (await office.get(person, listing)).text
    for person in ("cm-anna", "cm-ben", "senior-1", "sup-1", "dir-1", "aud-1", "ehr-1"):
        assert (await office.get(person, f"/cases/{case_id}")).status_code == 200, person
    assert (await office.get("dir-x", "/caseload")).json() == []


@ONE
async def test_in_scope_a_role_that_may_not_is_403(office: Office) -> None:
    """An auditor reads only; an integrator opens and reports changes, no more."""
    case_id = await office.open("ehr-1")
    assert await office.refused(case_id, "add-note", "aud-1", text="x") == (403, "NotPermitted")
    assert await office.refused(case_id, "record-consent", "ehr-1", form="verbal") == (403, "NotPermitted")
    body = {"program": "complex-care", "referral": referral(), "team": "north"}
    assert (await office.post("aud-1", "/cases", body)).status_code == 403
    staff = {"name": "x", "role": "case-manager"}
    answer = await office.http.put("/staff/x", json=staff, headers=office.sign_in("cm-anna"))
    assert answer.status_code == 403
    south = await office.post("cm-anna", "/cases", {**body, "team": "south"})
    assert (south.status_code, south.json()["code"]) == (403, "NotYourTeam")


@ONE
async def test_a_transferred_case_is_gone_for_its_old_team_at_once(office: Office) -> None:
    """The next request is a 404; the clocks went along."""
    case_id = await office.open()
    before = (await office.get("cm-anna", "/worklist")).json()["items"]
    await office.do(case_id, "reassign-case", "sup-1", owner="cm-cora", team="south", reason="moved house")
    assert (await office.get("cm-anna", f"/cases/{case_id}")).status_code == 404
    after = (await office.get("cm-cora", "/worklist")).json()["items"]
    assert [(i["clock_id"], i["due_at"]) for i in after] == [(i["clock_id"], i["due_at"]) for i in before]
    notices = (await office.get("cm-cora", "/notices", unread=True)).json()["items"]
    assert [n["subject"] for n in notices] == ["case-assigned"]


@ONE
async def test_malformed_bodies_are_422_with_the_fields_path(office: Office) -> None:
    """Unknown fields, wrong types, dates without a zone, unknown programme, nothing of it repeated."""
    case_id = await office.open()
    path = f"/cases/{case_id}/commands/log-contact"
    good = {"mode": "telephone", "party": "patient", "reached": True, "outcome": "x"}
    for more, field in (
        ({"colour": "SECRET"}, "body.colour"),
        ({"mode": "SECRET"}, "body.mode"),
        ({"reached": "SECRET"}, "body.reached"),
        ({"outcome": " "}, "body.outcome"),
        ({"outcome": "x" * 4001}, "body.outcome"),
        ({"occurred_at": "2026-03-02T10:00:00"}, "body.occurred_at"),
        ({"sensitivity": "SECRET"}, "body.sensitivity"),
    ):
        answer = await office.post("cm-anna", path, {**good, **more})
        assert answer.status_code == 422, more
        assert [e["path"] for e in answer.json()["errors"]] == [field]
        assert "SECRET" not in answer.text
    body = {"program": "no-such", "referral": referral(), "team": "north"}
    answer = await office.post("cm-anna", "/cases", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "UnknownProgram")
    nested = {**body, "referral": {**referral(), "patient": {"reference": "p", "ssn": "SECRET"}}}
    answer = await office.post("cm-anna", "/cases", nested)
    assert answer.json()["errors"][0]["path"] == "body.referral.patient.ssn"
    headers = {**office.sign_in("cm-anna"), "Content-Type": "application/json"}
    assert (await office.http.post(path, content=b"{nonsense", headers=headers)).status_code == 422
    assert (await office.http.post(path, content=b"[" * 9000, headers=headers)).status_code == 422
    assert await office.kinds(case_id) == ["case-opened", "clock-started"]


@ONE
async def test_unknown_commands_are_404_and_so_are_strange_ids(office: Office) -> None:
    """No route, no case, no traversal."""
    case_id = await office.open()
    for kind in ("juggle", "tick", "open"):
        answer = await office.post("cm-anna", f"/cases/{case_id}/commands/{kind}", {})
        assert (answer.status_code, answer.json()["code"]) == (404, "UnknownCommand")
        assert "complete-task" in answer.json()["missing"]
    for strange in ("%00", "x" * 65, "a'OR'1", "..%2f..%2fetc"):
        assert (await office.get("cm-anna", f"/cases/{strange}")).status_code in (404, 422), strange


@ONE
async def test_a_body_past_the_limit_is_413(office: Office) -> None:
    """64 KiB for a command, 16 MiB for a bundle, announced or chunked."""
    case_id = await office.open()
    path = f"/cases/{case_id}/commands/add-note"
    answer = await office.post("cm-anna", path, {"text": "x" * 70_000})
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")

    async def chunks() -> Any:
        for _ in range(80):
            yield b" " * 1024

    headers = {**office.sign_in("cm-anna"), "Content-Type": "application/json"}
    assert (await office.http.post(path, content=chunks(), headers=headers)).status_code == 413
    bundle = {
        "resourceType": "Bundle",
        "entry": [{"resource": {"resourceType": "Patient", "id": "p1"}}],
        "x": "y" * 100_000,
    }
    answer = await office.post("ehr-1", "/referrals/fhir?program=complex-care&team=north", bundle)
    assert answer.status_code == 201
    bundle["x"] = "y" * (17 * 1024 * 1024)
    answer = await office.post("ehr-1", "/referrals/fhir?program=complex-care&team=north", bundle)
    assert answer.status_code == 413


def test_every_command_of_the_catalogue_has_its_route_and_a_valid_example() -> None:
    """The OpenAPI document is whole: operation ids are unique, examples fit their schema."""

    document = build().openapi()
    ids = [op["operationId"] for item in document["paths"].values() for op in item.values()]
    assert len(ids) == len(set(ids))
    for command in FROM_PEOPLE:
        assert f"/cases/{{case_id}}/commands/{command.kind}" in document["paths"]
        command.model_validate(command.example)


@ONE
async def test_who_gives_a_case_away_is_still_told_that_it_was_done(office: Office) -> None:
    """The answer was lost, and with the command the scope: its sender asks again and hears the same."""
    case_id = await office.open("sup-1", owner="cm-anna")
    path = f"/cases/{case_id}/commands/reassign-case"
    body = {"owner": "cm-cora", "team": "south", "reason": "moved house"}
    first = await office.post("sup-1", path, body, Idempotency_Key="give-1")
    assert first.status_code == 200, first.text
    again = await office.post("sup-1", path, body, Idempotency_Key="give-1")
    assert (again.status_code, again.json()["seq"]) == (200, first.json()["seq"])
    asked = await office.get("sup-1", f"/cases/{case_id}/commands/{first.json()['command_id']}")
    assert asked.json()["status"] == "applied"
    assert await office.refused(case_id, "add-note", "sup-1", text="x") == (404, "NotFound")
    hidden = await office.get("cm-ben", f"/cases/{case_id}/commands/{first.json()['command_id']}")
    assert hidden.status_code == 404
