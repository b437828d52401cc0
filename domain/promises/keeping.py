"""What keeps a promise: the command to send, with the ids that it needs, to be shown beside the promise."""

from typing import Any

from domain.clocks.clock import ClockKind, KeptBy
from domain.programs.program import Stage
from domain.values import Slug, Value


class Keeping(Value):
    """A command, and as much of its body as the promise itself says."""

    command: Slug
    body: dict[str, Any] = {}


BY_DEED = {
    KeptBy.CONTACT: Keeping(command="log-contact"),
    KeptBy.VISIT: Keeping(command="log-contact", body={"mode": "in-person"}),
    KeptBy.RECONCILIATION: Keeping(command="reconcile-medications"),
}
BY_KIND = {
    ClockKind.TASK: "complete-task",
    ClockKind.INSTRUMENT: "record-score",
    ClockKind.CONTACT: "log-contact",
    ClockKind.REPLY: "log-contact",
    ClockKind.REASSESSMENT: "record-assessment",
    ClockKind.CONSENT_DECISION: "record-consent",
    ClockKind.CONSENT: "record-consent",
    ClockKind.REFILL: "record-adherence",
    ClockKind.MILESTONE: "reach-milestone",
    ClockKind.SAFETY_PLAN: "write-safety-plan",
    ClockKind.PLAN_REVIEW: "review-plan",
    ClockKind.SIGNATURE: "sign-plan",
    ClockKind.UNREACHED: "keep-trying",
    ClockKind.MINUTES: "record-minutes",
    ClockKind.TRANSFER: "answer-transfer",
    ClockKind.TRANSITION: "log-contact",
    ClockKind.REVIEW: "review-plan",
}
BY_ABOUT = {  # the first part of what a promise is about: the command, and the field that takes the rest
    "approval": ("decide-approval", "approval_id"),
    "flag": ("resolve-flag", "flag_id"),
    "action": ("complete-corrective-action", "action_id"),
    "access": ("review-access", "access_id"),
    "guided": ("write-guided-step", "guided_id"),
    "assistance": ("renew-assistance", "assistance_id"),
    "referral": ("complete-referral", "referral_id"),
    "appointment": ("keep-appointment", "appointment_id"),
}
ASKED_ABOUT = "plan/intervention/"  # what the person does without us
BY_WORD = {"find-somebody": "reassign-case", "safety-plan/review": "review-safety-plan"}
BY_STAGE = {
    Stage.SCREENING: "complete-screening",
    Stage.ASSESSMENT: "record-assessment",
    Stage.PLANNING: "agree-plan",
    Stage.CLOSURE: "close",
}


BY_STATUS = {"awaiting-cosign": "cosign-task", "on-hold": "resume-task", "unclaimed": "claim-task"}


def keeping(
    kind: str,
    about: str | None,
    kept_by: KeptBy | None = None,
    stage: str | None = None,
    status: str | None = None,
) -> Keeping | None:
    """The command that keeps a promise; None where nobody has to do anything (an override that ends by itself).

    `stage` is that of the case, `status` that of the promise's task; one that a group may claim is `unclaimed`.
    """
    if kept_by is not None:
        return BY_DEED[kept_by]
    first, _, rest = (about or "").partition("/")
    if about in BY_WORD:
        return Keeping(command=BY_WORD[about])
    if about is not None and about.startswith(ASKED_ABOUT):
        return Keeping(command="record-intervention", body={"intervention": about.removeprefix(ASKED_ABOUT)})
    if first in BY_ABOUT and rest:
        named, field = BY_ABOUT[first]
        return Keeping(command=named, body={field: rest})
    ids = {ClockKind.TASK: {"task_id": about}, ClockKind.INSTRUMENT: {"instrument": about}}
    command = BY_STATUS.get(status or "") or _command(ClockKind(kind), rest, stage)
    return Keeping(command=command, body=ids.get(ClockKind(kind), {})) if command else None


def _command(kind: ClockKind, rest: str, stage: str | None) -> str | None:
    if kind is ClockKind.CRISIS:
        return {"": "record-disposition", "end": "end-crisis"}.get(rest, "log-contact")  # or its follow-up
    if kind is ClockKind.STAGE:
        return BY_STAGE.get(Stage(stage)) if stage else None
    return BY_KIND.get(kind)
