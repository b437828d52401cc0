"""An entry that was entered in error stays on the timeline, struck through, and is in no report."""

import pytest

from tests.office import Office
from tests.recorded import put_on_record
from tests.story import Story

PHQ = {f"q{n}": 0 for n in range(1, 10)}


async def test_the_timeline_shows_what_was_wrong_and_who_said_so_beside_it(office: Office) -> None:
    """At every entry of the same command; and the worklist has the promise again."""
    case_id = await office.open()
    await office.walk(case_id)
    contact = {"mode": "telephone", "party": "patient", "reached": True, "outcome": "fine"}
    done = await office.do(case_id, "log-contact", **contact)
    assert "clock-kept" in done["events"]
    items = (await office.get("sup-1", f"/cases/{case_id}/timeline", limit=200)).json()["items"]
    [wrong] = [i["seq"] for i in items if i["command_id"] == done["command_id"] and i["kind"] == "contact-logged"]
    await office.do(case_id, "correct-entry", entry=wrong, reason="another person's call")
    items = (await office.get("sup-1", f"/cases/{case_id}/timeline", limit=200)).json()["items"]
    struck = [i for i in items if i["entered_in_error"]]
    assert {i["kind"] for i in struck} == set(done["events"])
    assert {(i["entered_in_error"]["by"], i["entered_in_error"]["reason"]) for i in struck} == {
        ("cm-anna", "another person's call")
    }
    assert await office.refused(case_id, "correct-entry", entry=wrong, reason="x") == (409, "AlreadyInError")
    owed = (await office.get("cm-anna", "/worklist")).json()["items"]
    assert [item["state"] for item in owed if item["kind"] == "contact"] == ["running"]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_mistyped_score_is_no_baseline_of_a_report(office: Office) -> None:
    """24 by mistake, then 6 and 3: three points better, and no remission from 24."""
    story = Story("behavioral-health").accepted()
    for total in ({"q1": 3, "q2": 3, "q3": 3, "q4": 3}, {"q1": 3, "q2": 3}, {"q1": 3}):
        story.do("record-score", instrument="phq-9", version="2001", answers={**PHQ, **total})
        story.wait(hours=1)
    first = next(e.seq for e in story.timeline if e.kind == "instrument-scored")
    story.do("correct-entry", entry=first, reason="another person's")
    put_on_record(office.parts.engine.url, office.parts.settings, "case-1", story.timeline)
    period = {"first": "2026-03-01", "last": "2026-03-31"}
    [row] = (await office.get("sup-1", "/reports/score-change", **period)).json()["rows"]
    assert (row["median_change"], row["response"]) == (-3, 1)
