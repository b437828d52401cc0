"""What somebody says of herself: that she is away and who covers, and where she is told."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from api import absence, calendars, reach, staff, work
from api.absence import Absence
from api.calendars import NewCalendar
from api.problems import Refusal
from api.reach import Code, NewReach
from api.submission import Wish
from api.system import System
from desk.office_forms import OfficeForm, show, take
from desk.session import Guest, GuestDep
from desk.web import FORM_LIMIT, page, to
from infra.notice_texts import languages

router = APIRouter(max_body_size=FORM_LIMIT)
HERE = "/desk/me"
CODE_DIGITS = 6


@router.get("/me", name="me")
async def shown(request: Request, guest: GuestDep) -> Response:
    """Whether one is away, and where one is told."""
    parts: System = request.app.state.system
    entry = await staff.entry_of(parts, guest.who.tenant, guest.who.sub)
    now = datetime.now(UTC)
    away = entry if entry is not None and entry.absent_until is not None and entry.absent_until > now else None
    said: dict[str, Any] = {"entry": entry, "away": away, "ways": await reach.read_reach(parts, guest.who)}
    said["calendars"] = await calendars.list_calendars(parts, guest.who)
    return page(request, "me.html", guest, zone=work.zone_for(parts, guest.who).key, **said)


def _form(request: Request, guest: Guest, kind: str, model: Any, **more: Any) -> OfficeForm:
    zone = work.zone_for(request.app.state.system, guest.who).key
    return OfficeForm(kind=kind, model=model, back=HERE, zone=zone, **more)


def _absence(request: Request, guest: Guest) -> OfficeForm:
    others = [(subject, name) for subject, name in guest.names.choices() if subject != guest.who.sub]
    return _form(request, guest, "set-absence", Absence, choices={"cover": others})


@router.post("/me/calendar", name="make-calendar")
async def calendar(request: Request, guest: GuestDep) -> Response:
    """Make an address for one's own calendar; the page that follows is the only one that ever shows it."""
    made = await calendars.make_calendar(NewCalendar(), request.app.state.system, guest.who)
    return page(request, "calendar-address.html", guest, url=made.url)


@router.post("/me/calendar/remove", name="delete-calendars")
async def no_calendar(request: Request, guest: GuestDep) -> Response:
    """Let none of one's addresses open anything any more."""
    await calendars.delete_calendars(request.app.state.system, guest.who)
    return to(f"{HERE}?saved=yes")


@router.get("/me/absence", name="set-absence")
async def absence_form(request: Request, guest: GuestDep) -> Response:
    """The form by which one says that one is away."""
    return show(request, guest, _absence(request, guest))


@router.post("/me/absence", name="set-absence")
async def away(request: Request, guest: GuestDep) -> Response:
    """Be away until then; who covers sees one's work meanwhile."""

    async def do(said: Absence, _: Wish) -> None:
        await absence.set_absence(said, request.app.state.system, guest.who)

    return await take(request, guest, _absence(request, guest), do)


@router.post("/me/back", name="set-absence")
async def back(request: Request, guest: GuestDep) -> Response:
    """Be at work again, from now on."""
    await absence.set_absence(Absence(absent_until=None), request.app.state.system, guest.who)
    return to(f"{HERE}?saved=yes")


async def _reach(request: Request, guest: Guest) -> OfficeForm:
    """The form of one's address, with what stands; else with the zone of one's team and one's language."""
    known = next(iter(await reach.read_reach(request.app.state.system, guest.who)), None)
    choices = {"language": [(one, one) for one in languages()]}
    form = _form(request, guest, "set-reach", NewReach, choices=choices)
    form.body = {"zone": form.zone, "language": guest.session.language}
    if known is not None:
        names = set(NewReach.model_fields)
        form.body = known.model_dump(mode="json", include=names, exclude_none=True)
    return form


@router.get("/me/email", name="set-reach")
async def reach_form(request: Request, guest: GuestDep) -> Response:
    """The form of the address at which one is told."""
    return show(request, guest, await _reach(request, guest))


@router.post("/me/email", name="set-reach")
async def told_at(request: Request, guest: GuestDep) -> Response:
    """Be told there; an address that is new is sent a code, which the next page asks for."""

    async def do(said: NewReach, _: Wish) -> None:
        await reach.set_reach(said, request.app.state.system, guest.who, Response())

    return await take(request, guest, await _reach(request, guest), do)


@router.post("/me/email/code", name="verify-reach")
async def verified(request: Request, guest: GuestDep, code: Annotated[str, Form(max_length=20)]) -> Response:
    """Show by the code that the address is one's own."""
    if not (code.strip().isascii() and code.strip().isdigit() and len(code.strip()) == CODE_DIGITS):
        raise Refusal(422, "WrongCode", f"the code has {CODE_DIGITS} digits; it stands in the mail")
    await reach.verify_reach(Code(code=code.strip()), request.app.state.system, guest.who)
    return to(f"{HERE}?saved=yes")


@router.post("/me/email/remove", name="delete-reach")
async def removed(request: Request, guest: GuestDep) -> Response:
    """Be told here alone."""
    await reach.delete_reach(request.app.state.system, guest.who)
    return to(f"{HERE}?saved=yes")
