"""A referral as the Task that its recipient works on: what an update of it says, by the states of the closed loop.

Statuses and who may set which: R4 task-status without `ready` and `received`, as Gravity SDOH Clinical Care 3.0.0
uses it. The requester sets draft, requested and cancelled, the performer all others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from domain.case.open_parts import ReferralStatus

STATUS = {
    ReferralStatus.SENT: "requested",
    ReferralStatus.ACCEPTED: "accepted",
    ReferralStatus.DECLINED: "rejected",
    ReferralStatus.IN_PROGRESS: "in-progress",
    ReferralStatus.ON_HOLD: "on-hold",
    ReferralStatus.FAILED: "failed",
    ReferralStatus.DONE: "completed",
}
PART = "fulfil-"  # before the referral's id in the id of its Task
COMMANDS = {  # the command that a status stands for, and the field for the words that come with it
    "accepted": ("accept-referral", "note"),
    "rejected": ("decline-referral", "reason"),
    "in-progress": ("begin-referral-service", "note"),
    "on-hold": ("hold-referral", "reason"),
    "failed": ("fail-referral", "reason"),
    "completed": ("complete-referral", "note"),
    "requested": ("send-referral", None),
    "cancelled": ("revoke-referral", "reason"),
}
OF_REQUESTER = ("draft", "requested", "cancelled", "entered-in-error")
NO_WORDS = "The recipient's system gave no words to it"


class NotAnUpdate(ValueError):
    """The body is no Task that this one can become. The text names the element."""


@dataclass(frozen=True)
class Step:
    """The status that the Task is to have, and the command that stands for it; None where there is none."""

    status: str
    command: str | None
    body: dict[str, Any]


def step_of(task: Mapping[str, Any], now: Mapping[str, Any]) -> Step:
    """What an update says, beside the Task as it is now. Raises `NotAnUpdate`."""
    if task.get("resourceType") != "Task":
        raise NotAnUpdate("resourceType: send a Task")
    if task.get("id") not in (None, now["id"]):
        raise NotAnUpdate("id: this is another Task")
    for name in ("focus", "for"):
        if name in task and _target(task[name]) != _target(now[name]):
            raise NotAnUpdate(f"{name}: it cannot be another's")
    status = task.get("status")
    if not isinstance(status, str):
        raise NotAnUpdate("status: say which")
    command, field = COMMANDS.get(status, (None, None))
    words = next(_words(task), NO_WORDS if field == "reason" or status == "completed" else None)
    return Step(status, command, {field: words} if field and words else {})


def _target(reference: Any) -> str:
    """The end of a reference, by which an absolute and a relative one are the same."""
    said = reference.get("reference") if isinstance(reference, Mapping) else None
    return "/".join(str(said or "").split("/")[-2:])


def _words(task: Mapping[str, Any]) -> Iterator[str]:
    """What the sender says of it: the reason of the status, else the newest note."""
    reason, notes = task.get("statusReason"), task.get("note")
    if isinstance(reason, Mapping) and isinstance(reason.get("text"), str) and reason["text"].strip():
        yield reason["text"]
    if isinstance(notes, list):
        said = (note.get("text") for note in reversed(notes) if isinstance(note, Mapping))
        yield from (text for text in said if isinstance(text, str) and text.strip())
