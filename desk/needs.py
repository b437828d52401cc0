"""What a stage or a closure lacks: in the reader's words, and the form that settles it."""

from collections.abc import Mapping

from desk.words import Words
from domain.next_steps import NextSteps

SETTLED_BY = {  # by the first word of what is lacking
    "consent": "record-consent",
    "section": "record-assessment",
    "baseline": "record-assessment",
    "instrument": "record-score",
    "the": "stratify-risk",
    "a": "agree-plan",
    "signature": "sign-plan",
    "task": "complete-task",
    "complete-screening": "complete-screening",
    "evaluate-outcome": "evaluate-outcome",
    "close": "close",
}
NAMED = {"section": "sections.0.name", "instrument": "instrument", "task": "task_id"}  # the field that it fills
TITLED = (*NAMED, "signature")  # of which there are many, each with its own title


def settles(steps: NextSteps, case_id: str, need: str) -> str | None:
    """The address of the form that settles it, where this reader may send that now."""
    first, named = _parts(need)
    kind = SETTLED_BY.get(first)
    if not any(one.command == kind for one in steps.possible):
        return None
    address = f"/desk/cases/{case_id}/do/{kind}"
    return f"{address}?{NAMED[first]}={named.partition(':')[0]}" if first in NAMED else address


def said(need: str, spoken: Words, titles: Mapping[str, str]) -> str:
    """What is lacking, as a sentence has it; a section, an instrument, a task or a signer by its title."""
    first, named = _parts(need)
    what = named.partition(": ")[2] or named.removeprefix("of the ")
    what = titles.get(what, spoken.get(f"code.{what.replace(' ', '-')}", what))
    named_by = f"need.{first}" if first in TITLED else f"need.{need}"
    return spoken.get(named_by, need).replace("{what}", what)


def _parts(need: str) -> tuple[str, str]:
    first, _, rest = need.partition(" ")
    return first.rstrip(","), rest
