"""What was told of a person outside the house."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import disclosures, persons, work
from api.system import System
from desk.session import GuestDep
from desk.web import page

router = APIRouter()


@router.get("/people/{person_id}/disclosures", name="list-disclosures")
async def of_person(request: Request, guest: GuestDep, person_id: str) -> Response:
    """The accounting of disclosures of the last six years, of the cases that one may read."""
    parts: System = request.app.state.system
    found = await disclosures.list_disclosures(person_id, parts, guest.who, request)
    person = (await persons.read_person(person_id, parts, guest.who, Response())).person
    zone = work.zone_for(parts, guest.who).key
    said = {"person_id": person_id, "person": person, "found": found.items, "zone": zone}
    return page(request, "disclosures.html", guest, **said)
