"""A look ahead, so that a command that would be refused costs the case no history.

It is a courtesy and decides nothing: `settle` decides. Validators are not replayed, so this may use the rulebook
of the day and the cases that this worker has settled lately. The worker installs both; without them, or with a
case that this worker has not settled yet, everything goes on to be settled.
"""

from collections.abc import Callable
from datetime import datetime

from temporalio import workflow

from domain.case.case import Case
from domain.case.command import Envelope, Moment, Outcome
from domain.decide import decide
from domain.programs.rulebook import Rulebook

Remembered = Callable[[str], Case | None]
_in_force: list[tuple[Rulebook, Remembered]] = []


def install(rulebook: Rulebook, remembered: Remembered) -> None:
    """Let validators of this process look ahead with these rules, at the cases remembered by their last hash."""
    _in_force[:] = [(rulebook, remembered)]


def refusal(envelope: Envelope, head: str, now: datetime) -> Outcome | None:
    """The refusal that would be given now, or None when the command may be applied, or nobody can tell."""
    if not _in_force:
        return None
    rulebook, remembered = _in_force[0]
    if (case := remembered(head)) is None:
        return None
    try:
        outcome = decide(envelope, case, Moment(now, rulebook)).outcome
    except Exception:  # a fault in a rule: `settle` meets it again, and sets the command aside on record
        return None
    return outcome if outcome.status == "refused" else None


def count(outcome: Outcome) -> None:
    """Count a refusal where it is given; what is settled is counted there."""
    said = {"kind": outcome.kind, "status": outcome.status}
    meter = workflow.metric_meter().with_additional_attributes(said)
    meter.create_counter("caseloom_commands", "Commands by kind and outcome").add(1)
