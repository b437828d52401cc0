"""Who may do what, on which cases: the policy against every route and command, and each leak that it closes."""

from collections.abc import Iterator
from typing import Any

import pytest

from api.app import PUBLIC, ROOMS
from domain.commands import ALL
from domain.programs.access import AccessPolicy, Reach
from domain.values import Role, Sensitivity
from tests.office import Office
from tests.story import in_force

ONE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
POLICY = in_force().policy


def actions_of_routes() -> Iterator[str]:
    for room in (*ROOMS, *PUBLIC):
        routes: list[Any] = room.router.routes if hasattr(room, "router") else room.routes
        yield from (route.name.replace("_", "-") for route in routes)


def test_every_route_and_command_stands_in_the_policy_and_nothing_else_does() -> None:
    """A new one is refused to everybody until somebody has said for whom it is."""
    there = {*actions_of_routes(), *(command.kind for command in ALL), "read-whole-case", "read-case-resources"}
    said = {action for group in POLICY.groups.values() for action in group} | {*POLICY.public}
    assert there == said


# role, by which way, the groups of actions; written down a second time, so that a slip in the file shows
WANTED = """
case-manager         tenant   anyone open directory lists know describe measure emergency
case-manager         glass    outline read fhir looked
case-manager         own      outline read fhir tell loop correct task-work work urgent answer
case-manager         team     outline read fhir tell loop correct task-work work urgent answer
case-manager         duty     outline read fhir tell loop task-work urgent
case-manager         task     outline tell loop correct task-work
case-manager         offered  outline answer
senior-case-manager  tenant   anyone open directory lists know describe unite watch measure emergency
senior-case-manager  glass    outline read fhir looked
senior-case-manager  own      outline read fhir tell loop correct task-work work urgent answer lead looked review \
screenings found
senior-case-manager  team     outline read fhir tell loop correct task-work work urgent answer lead looked review \
screenings found
senior-case-manager  duty     outline read fhir tell loop task-work urgent
senior-case-manager  task     outline tell loop task-work
senior-case-manager  offered  outline answer
supervisor           tenant   anyone open directory lists know describe unite watch measure emergency
supervisor           glass    outline read fhir looked
supervisor           own      outline read fhir tell loop correct task-work work urgent answer lead above \
looked review population screenings found
supervisor           team     outline read fhir tell loop correct task-work work urgent answer lead above \
looked review population screenings found
supervisor           duty     outline read fhir tell loop task-work urgent
supervisor           task     outline tell loop task-work
supervisor           offered  outline answer
director             tenant   anyone open directory lists know describe unite outline read fhir tell loop correct \
task-work work urgent answer lead above direct watch measure operate looked review events webhooks kept keep \
population screenings found
auditor              tenant   anyone events directory lists know kept outline read fhir watch measure operate \
screenings
integrator           tenant   anyone open feed events cards population screenings \
subscriptions
integrator           opened   outline tell loop correct
integrator           feed     tell loop correct
integrator           shared   fhir loop
integrator           referred fhir loop
system               tenant   itself
"""
LABELS = """
behavioral       case-manager         own team duty glass
behavioral       senior-case-manager  own team duty glass
behavioral       supervisor           own team duty glass
behavioral       director             tenant
part2            case-manager         own glass
part2            senior-case-manager  own glass
part2            supervisor           own team glass
sud-counselling  case-manager         own
sud-counselling  senior-case-manager  own
sud-counselling  supervisor           own
behavioral       integrator           shared-behavioral
part2            integrator           shared-part2
sud-counselling  integrator           shared-sud-counselling
"""


def faults(policy: AccessPolicy) -> list[str]:
    """Where a policy says something else than is wanted."""
    wanted = {(r, w): {*groups} for r, w, *groups in (line.split() for line in WANTED.strip().splitlines())}
    labels = {(label, r): {*ways} for label, r, *ways in (line.split() for line in LABELS.strip().splitlines())}
    found = []
    for role in Role:
        for way in Reach:
            for group, actions in policy.groups.items():
                may = {policy.may(role, action, frozenset({way})) for action in actions}
                if may != {group in wanted.get((role, way), ())}:
                    found.append(f"{role} {way} {group}")
            for label in Sensitivity:
                reads = label is Sensitivity.GENERAL or way in labels.get((label, role), ())
                if policy.reads(role, label, frozenset({way})) != reads:
                    found.append(f"{role} {way} {label}")
    return found


def mutants() -> Iterator[AccessPolicy]:
    """The policy with one role, way or group less, or one more, at each place."""
    every: dict[str, list[Any]] = {"roles": list(Role), "reach": list(Reach), "may": list(POLICY.groups)}
    for number, grant in enumerate(POLICY.grants):
        for field, values in every.items():
            for value in values:
                held = getattr(grant, field)
                other = tuple(v for v in held if v != value) if value in held else (*held, value)
                changed = grant.model_copy(update={field: other})
                grants = (*POLICY.grants[:number], changed, *POLICY.grants[number + 1 :])
                yield AccessPolicy(groups=POLICY.groups, grants=grants, labels=POLICY.labels)
    for label, readers in POLICY.labels.items():
        for number in range(len(readers)):
            fewer = {**POLICY.labels, label: readers[:number] + readers[number + 1 :]}
            yield AccessPolicy(groups=POLICY.groups, grants=POLICY.grants, labels=fewer)


def test_the_policy_says_what_is_wanted_and_every_slip_in_it_shows() -> None:
    assert faults(POLICY) == []
    unseen = [mutant for mutant in mutants() if mutant != POLICY and not faults(mutant)]
    same = [m for m in unseen if {k: m.reach_of(*k) for k in EVERY} == {k: POLICY.reach_of(*k) for k in EVERY}]
    assert len(unseen) == len(same), "a slip that changes who may do what is not seen"


EVERY = [(role, action) for role in Role for group in POLICY.groups.values() for action in group]


def test_a_role_or_a_group_that_there_is_not_and_an_action_in_two_groups_are_refused() -> None:
    grant = {"roles": ["director"], "reach": ["own"], "may": ["a"]}
    with pytest.raises(ValueError, match="two groups"):
        AccessPolicy.model_validate({"groups": {"a": ["x"], "b": ["x"]}, "grants": []})
    with pytest.raises(ValueError, match="there are not"):
        AccessPolicy.model_validate({"groups": {}, "grants": [grant]})


@ONE
async def test_a_task_gives_the_task_and_not_the_case(office: Office) -> None:
    """She sees hers and what she must know, completes it, and can neither stay in nor read what others wrote."""
    case_id = await office.open()
    await office.walk(case_id)
    await office.do(case_id, "add-note", text="said in confidence", sensitivity="part2")
    [task] = (await office.do(case_id, "add-task", task="education", assignee="cm-cora"))["created"][:1]
    [other] = (await office.do(case_id, "add-task", task="education"))["created"][:1]
    seen = (await office.get("cm-cora", f"/cases/{case_id}")).json()
    assert (seen["whole"], [t["id"] for t in seen["case"]["tasks"]]) == (False, [task])
    assert "patient" in seen["case"]["referral"]
    assert not seen["case"]["referral"]["patient"]["conditions"]
    assert (await office.get("cm-cora", f"/cases/{case_id}/timeline")).status_code == 403
    for kind, body in (
        ("add-task", {"task": "education", "assignee": "cm-cora"}),
        ("withdraw-consent", {"reason": "x"}),
        ("close", {"reason": "moved"}),
        ("offer-transfer", {"to": "cm-cora", "reason": "x"}),
        ("reassign-case", {"owner": "cm-cora", "reason": "x"}),
    ):
        assert await office.refused(case_id, kind, "cm-cora", **body) == (403, "NotPermitted"), kind
    assert await office.refused(case_id, "complete-task", "cm-cora", task_id=other) == (403, "NotYourTask")
    hers = (await office.get("cm-cora", "/worklist")).json()["items"]
    assert {item["about"] for item in hers} == {task}
    for path, asked in (("/worklist", {"owner": "cm-anna"}), ("/escalations", {}), ("/caseload", {})):
        assert case_id not in (await office.get("cm-cora", path, **asked)).text
    assert "cm-anna" not in (await office.get("cm-cora", "/caseload")).text
    await office.do(case_id, "add-note", "cm-cora", text="visited")
    await office.do(case_id, "complete-task", "cm-cora", task_id=task)
    assert (await office.get("cm-cora", f"/cases/{case_id}")).status_code == 404


@ONE
async def test_nobody_offers_herself_a_case_that_is_not_hers(office: Office) -> None:
    case_id = await office.open()
    await office.hire()
    offer = {"to": "cm-ben", "reason": "I would like it"}
    assert await office.refused(case_id, "offer-transfer", "cm-ben", **offer) == (409, "LeadsReassign")
    assert await office.refused(case_id, "request-transfer", "cm-ben", reason="x") == (409, "LeadsReassign")
    await office.do(case_id, "offer-transfer", to="cm-cora", reason="Lives in her area now")
    offered = (await office.get("cm-cora", f"/cases/{case_id}")).json()
    assert (offered["whole"], offered["case"]["transfer"]["to"]) == (False, "cm-cora")
    assert await office.refused(case_id, "add-note", "cm-cora", text="x") == (403, "NotPermitted")
    await office.do(case_id, "answer-transfer", "cm-cora", accept=True)
    assert (await office.get("cm-cora", f"/cases/{case_id}")).json()["whole"]


@ONE
async def test_who_is_excluded_neither_sees_nor_acts_nor_lifts_it_and_what_he_held_goes_on(office: Office) -> None:
    case_id = await office.open(owner="cm-ben")
    await office.hire()
    await office.do(case_id, "exclude-assignee", "sup-1", person="cm-ben", reason="Related to the family")
    await office.do(case_id, "exclude-assignee", "sup-1", person="senior-1", reason="Lives next door")
    for person in ("cm-ben", "senior-1"):
        assert (await office.get(person, f"/cases/{case_id}")).status_code == 404
        assert (await office.get(person, f"/cases/{case_id}/timeline")).status_code == 404
        assert case_id not in (await office.get(person, "/cases")).text
        assert (await office.refused(case_id, "add-note", person, text="x"))[0] == 404
    lift = {"person": "senior-1", "reason": "x"}
    assert (await office.refused(case_id, "allow-assignee", "senior-1", **lift))[0] == 404
    case = (await office.get("sup-1", f"/cases/{case_id}")).json()["case"]
    assert case["owner"] == "sup-1"
    await office.do(case_id, "allow-assignee", "sup-1", **lift)
    assert (await office.get("senior-1", f"/cases/{case_id}")).status_code == 200


@ONE
async def test_a_label_shows_that_there_is_an_entry_and_whom_to_ask(office: Office) -> None:
    """Counselling notes are for the case manager of the case; their author reads them as well."""
    case_id = await office.open()
    for label in ("general", "behavioral", "part2", "sud-counselling"):
        await office.do(case_id, "add-note", text=f"note {label}", sensitivity=label)
    await office.do(case_id, "add-note", "cm-ben", text="note of ben", sensitivity="part2")

    async def read_by(person: str) -> list[str]:
        items = (await office.get(person, f"/cases/{case_id}/timeline")).json()["items"]
        notes = [i for i in items if i["kind"] == "note-added"]
        for note in notes:
            assert (note["withheld"] is None) == bool(note["data"])
            assert note["withheld"] is None or note["withheld"]["ask"] == "cm-anna"
        return [i["data"]["text"].removeprefix("note ") for i in notes if i["data"]]

    assert await read_by("cm-anna") == ["general", "behavioral", "part2", "sud-counselling", "of ben"]
    assert await read_by("cm-ben") == ["general", "behavioral", "of ben"]
    assert await read_by("sup-1") == ["general", "behavioral", "part2", "of ben"]
    assert await read_by("dir-1") == ["general", "behavioral"]
    assert await read_by("aud-1") == ["general"]


@ONE
async def test_a_referrer_learns_what_became_of_the_referral_and_not_what_is_written_in_the_case(
    office: Office,
) -> None:
    case_id = await office.open("ehr-1", owner="cm-anna")
    seen = (await office.get("ehr-1", f"/cases/{case_id}")).json()
    assert (seen["whole"], seen["case"]["stage"], seen["case"]["owner"]) == (False, "screening", "cm-anna")
    assert (await office.get("ehr-1", f"/cases/{case_id}/timeline")).status_code == 403
    assert (await office.get("ehr-1", "/staff")).status_code == 403


@ONE
async def test_a_supervisor_hands_over_only_what_is_within_his_reach(office: Office) -> None:
    """The cases of another team that a person of his holds stay as they are; a director hands them over."""
    await office.hire()
    theirs = await office.open(owner="cm-cora")
    entry = {"name": "cm-cora", "role": "case-manager", "team": "south", "supervisor": "sup-2", "active": False}
    answer = await office.http.put("/staff/cm-cora", json=entry, headers=office.sign_in("sup-2"))
    assert answer.status_code == 200, answer.text
    monitor = answer.headers["Link"].split(">")[0].strip("<")

    async def done() -> bool:
        return bool((await office.get("dir-1", monitor)).json()["status"] == "done")

    await office.until(done)
    assert (await office.get("sup-1", f"/cases/{theirs}")).json()["case"]["owner"] == "cm-cora"
    assert (await office.get("sup-2", f"/cases/{theirs}")).status_code == 404
