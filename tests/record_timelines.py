"""Stories whose timelines every later release must fold to the same case: `make histories` keeps them."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

from tests.story import Story


def followed_up() -> Story:
    """In follow-up, with a contact missed, climbed and kept late."""
    story = Story().followed_up()
    story.wait(days=20)
    story.do("log-contact", mode="telephone", party="patient", reached=True, outcome="x")
    return story


def consent_withdrawn() -> Story:
    story = Story().followed_up()
    story.do("withdraw-consent", reason="x")
    return story


def closed() -> Story:
    story = Story().followed_up()
    story.do("close", reason="moved")
    return story


def whole_care() -> Story:
    """A score with its alert, a crisis, an open referral, an approval."""
    story = Story().followed_up(tier="low")
    story.do("record-score", instrument="phq-9", version="2001", answers={"q9": 2})
    story.do("raise-crisis", description="x")
    [referral] = story.do("draft-referral", type="specialist", recipient="x", reason="y").outcome.created
    story.do("send-referral", referral_id=referral)
    story.do("request-approval", subject="closure", reason="goals-met")
    return story


def corrected() -> Story:
    """A call and a discharge taken back, a measurement put right, a raised tier, own limits, a closure undone."""
    story = Story("chronic-care").followed_up(tier="low")
    story.wait(days=2)
    call = {"mode": "telephone", "party": "patient", "reached": True, "outcome": "x"}
    measured = {"indicator": "systolic", "value": 128, "unit": "mmHg"}
    home = {"event_id": "d1", "event": "discharge", "setting": "inpatient", "occurred_at": story.now.isoformat()}
    story.do("log-contact", **call)
    story.do("correct-entry", entry=_last(story, "contact-logged"), reason="another person's")
    story.do("record-observation", **{**measured, "value": 218})
    story.do("correct-entry", entry=_last(story, "observation-recorded"), reason="typed wrong", right=measured)
    story.do("record-transition", **home)
    story.do("record-transition", **{**home, "encounter": "e1", "disposition": "home"})
    story.do("record-transition", **home, retracted=True)
    story.do("raise-risk-tier", tier="high", reason="x")
    limits = [{"alert": "value-dangerous", "above": 160}]
    story.do("set-personal-limits", indicator="systolic", limits=limits, reason="x", source="y")
    story.do("close", reason="died")
    story.wait(days=1)
    story.do("reopen-case", reason="another person")
    story.wait(days=40)
    return story


def _last(story: Story, kind: str) -> int:
    return max(entry.seq for entry in story.timeline if entry.kind == kind)


STORIES: dict[str, Callable[[], Story]] = {
    "screening": lambda: Story().open(),
    "follow-up": followed_up,
    "consent-withdrawn": consent_withdrawn,
    "closed": closed,
    "whole-care": whole_care,
    "corrected": corrected,
}


def keep_timelines(folder: Path) -> None:
    """Keep the timelines of this release with the cases that they make, where they are not kept yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, told in STORIES.items():
        path, story = folder / f"{name}.json.gz", told()
        if not path.exists():
            entries = [entry.model_dump(mode="json") for entry in story.timeline]
            kept = {"case": story.known.model_dump(mode="json"), "entries": entries}
            path.write_bytes(gzip.compress(json.dumps(kept).encode(), mtime=0))
