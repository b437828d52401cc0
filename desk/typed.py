"""What was typed into a form of ours: its values, who opened it, and where in it something is wrong."""

from collections.abc import Mapping, Sequence

from fastapi import Request

from api.problems import Refusal
from desk.forms import FormField
from desk.session import Guest

Typed = Mapping[str, list[str]]
MOST_FIELDS = 2000


async def read(request: Request) -> dict[str, list[str]]:
    """Which values each field was sent with."""
    form = await request.form(max_fields=MOST_FIELDS)
    return {name: [str(value) for value in form.getlist(name)] for name in form}


def one(typed: Typed, name: str) -> str | None:
    """The last value of a field, or None where it was left empty."""
    return typed[name][-1] if typed.get(name) else None


def own(typed: Typed) -> dict[str, list[str]]:
    """The fields of the form itself, without what the page sends along."""
    return {name: list(value) for name, value in typed.items() if not name.startswith("_")}


def of_another(typed: Typed, guest: Guest) -> Refusal | None:
    """The refusal of what somebody else had begun at this browser; it is not sent under another name."""
    author = one(typed, "_as")
    if author in (None, guest.who.sub):
        return None
    who = guest.names(author)
    detail = f"this page was opened by {who}; look whether you want to send it under your own name"
    return Refusal(409, "AnotherPerson", detail)


def wrong(fields: Sequence[FormField], errors: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Each fault with the field's id and its label as the form has it."""
    labels: dict[str, tuple[str, str]] = {}
    for part in fields:
        labels[part.name] = (part.id, part.label)
        for inner in part.parts:
            labels[inner.name] = (inner.id, f"{part.label}: {inner.label}")
        for number, row in enumerate(part.rows, 1):
            labels |= {inner.name: (inner.id, f"{part.label} {number}: {inner.label}") for inner in row}
    return [(*labels.get(name, (f"f-{name.replace('.', '-')}", name)), text) for name, text in errors.items()]
