"""Forms for what belongs to no case: one's absence, the directory, a roster, who a person is."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from api.problems import Refusal
from api.submission import Wish
from desk import typed as sent
from desk.commands import DECIDED
from desk.forms import Choices, body_of, errors_of, form_of, schema_of, with_row
from desk.session import Guest
from desk.web import page, to
from desk.words import of as words_of

Doing = Callable[[Any, Wish], Awaitable[str | Response | None]]


@dataclass
class OfficeForm:
    """A form as somebody has it before her. `kind` is what it does, by which its words are found.

    `seen` is the version of what it changes, `back` the page that it leads to.
    """

    kind: str
    model: type[BaseModel]
    back: str
    zone: str
    body: dict[str, Any] = field(default_factory=dict)
    choices: Choices = field(default_factory=dict)
    about: str = ""
    seen: int | None = None
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    errors: dict[str, str] = field(default_factory=dict)
    refusal: Refusal | None = None


def show(request: Request, guest: Guest, form: OfficeForm, status: int = 200) -> Response:
    """The form with what stands, or what was typed, and what is wrong with it."""
    spoken = words_of(guest.session.language)
    fields = form_of(form.kind, schema_of(form.model), spoken, form.choices, form.body, form.errors)
    said = {"form": form, "fields": fields, "zone": form.zone, "wrong": sent.wrong(fields, form.errors)}
    return page(request, "office-form.html", guest, status, **said)


async def take(request: Request, guest: Guest, form: OfficeForm, do: Doing) -> Response:
    """Do what the form says, by `do`: it gives a page, an address, or None to go back. No text is lost."""
    typed = await sent.read(request)
    seen, form.key = sent.one(typed, "_seen") or "", sent.one(typed, "_key") or form.key
    form.body = body_of(schema_of(form.model), sent.own(typed), ZoneInfo(form.zone), form.choices)
    if (another := sent.of_another(typed, guest)) is not None:
        form.refusal = another
        return show(request, guest, form, another.status)
    if added := sent.one(typed, "_add"):
        form.body = with_row(form.body, added)
        return show(request, guest, form)
    try:
        said = form.model.model_validate(form.body)
        version = int(seen) if seen.isdecimal() else form.seen
        done = await do(said, Wish(key=form.key, expected_seq=version)) or f"{form.back}?saved=yes"
        return to(done) if isinstance(done, str) else done
    except ValidationError as fault:
        form.errors = errors_of(fault, words_of(guest.session.language))
        return show(request, guest, form, 422)
    except Refusal as refusal:
        form.refusal = refusal
        form.key = uuid.uuid4().hex if refusal.status in DECIDED else form.key
        return show(request, guest, form, refusal.status)
