"""What a run hands to the next one, as this release writes it: every later release must read it.

`make histories` keeps it under `tests/snapshots/<version>/`, beside the histories.
"""

from collections.abc import Callable

from domain.command import Envelope, Outcome
from domain.record import Page
from tests.story import ANNA, Story
from workflows.messages import LOOP, Life

LEFT_UNRECORDED = 12


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
    story.do("request-approval", subject="closure")
    return story


STORIES: dict[str, Callable[[], Story]] = {
    "screening": lambda: Story().open(),
    "follow-up": followed_up,
    "consent-withdrawn": consent_withdrawn,
    "closed": closed,
    "whole-care": whole_care,
}


def life(story: Story) -> Life:
    """The story as a run leaves it in the middle of an outage: a page unrecorded, a command waiting."""
    _, before = Page().followed(None, story.timeline[:-LEFT_UNRECORDED])
    page, _ = Page().followed(before, story.timeline[-LEFT_UNRECORDED:])
    done = Outcome(
        command_id="k1", kind="open", fingerprint="f", status="applied", at=story.now, seq=story.known.seq
    )
    waiting = Envelope(command_id="waiting-1", kind="add-note", body={"text": "waits"}, actor=ANNA)
    return Life(
        tenant="local",
        case_id="case-1",
        history_events=300,
        case=story.case,
        inbox=(waiting,),
        outcomes=(done,),
        page=page.answered(done),
        wake_at=story.wake_at(),
        loop=LOOP,
    )
