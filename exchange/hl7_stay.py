"""Several messages about one stay, in the order in which the sender wrote them: what one still has to tell."""

from dataclasses import dataclass
from typing import NamedTuple

from exchange.hl7_meaning import Because, Meaning, Stay


@dataclass(frozen=True)
class Other:
    """Another message about the same stay: what it says, whether a case was told, whether it was written later."""

    said: Meaning
    told: bool
    later: bool

    def speaks_of(self, stay: Stay) -> bool:
        return any(mine.event == stay.event for mine in self.said.stays)

    def takes_back(self, stay: Stay) -> bool:
        return any(mine.event == stay.event and mine.retracted for mine in self.said.stays)


class ToTell(NamedTuple):
    """A part of a stay, and how often the sender had taken that part back before writing this."""

    stay: Stay
    taken_back: int


def to_tell(said: Meaning, others: list[Other]) -> list[ToTell]:
    """What of a message holds: the parts of which no later message speaks, whichever came first."""
    return [
        ToTell(stay, sum(not other.later and other.takes_back(stay) for other in others))
        for stay in said.stays
        if not any(other.later and other.speaks_of(stay) for other in others)
    ]


def changes_its_kind(said: Meaning, others: list[Other]) -> bool:
    """Whether a stay of which a case was told is something else now: outpatient, or a visit to emergency only."""
    told = {stay.event for other in others if other.told for stay in other.said.stays}
    if said.nothing is Because.NO_STAY:
        return bool(told)
    return "admission" in told and any(stay.event == "visit" for stay in said.stays)
