"""A look ahead, so that a command that would be refused costs the case no history.

It is a courtesy and decides nothing: the loop decides. Validators are not replayed, so this may use the
rulebook of the day. The worker installs it; without one (in a replay) everything goes on to the loop.
"""

from datetime import datetime

from domain.case import Case
from domain.command import Envelope, Moment, Outcome
from domain.decide import decide
from domain.rulebook import Rulebook

_in_force: list[Rulebook] = []


def install(rulebook: Rulebook) -> None:
    """Let validators of this process look ahead with these rules."""
    _in_force[:] = [rulebook]


def refusal(envelope: Envelope, case: Case | None, now: datetime) -> Outcome | None:
    """The refusal that the loop would give now, or None when it may be applied, or nobody can tell."""
    if not _in_force:
        return None
    try:
        outcome = decide(envelope, case, Moment(now, _in_force[0])).outcome
    except Exception:  # a fault in a rule: the loop meets it again, and sets the command aside in the record
        return None
    return outcome if outcome.status == "refused" else None
