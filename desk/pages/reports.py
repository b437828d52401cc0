"""Reports with a plot each, a sentence of what it counts, and the table behind it."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api import reports
from api.system import System
from desk.charts import Bar, bars
from desk.session import GuestDep
from desk.web import FORM_LIMIT, page

router = APIRouter(max_body_size=FORM_LIMIT)
SHARES = ("share_in_time", "share_closed", "share_met", "share_readmitted")
COUNTS = ("weighted_caseload", "days", "told", "stays", "people")


@router.get("/reports", name="list-reports")
async def which(request: Request, guest: GuestDep) -> Response:
    """The reports that there are, and what each counts."""
    return page(request, "reports.html", guest, reports=await reports.list_reports(guest.who))


@router.get("/reports/{name}", name="read-report")
async def show(
    request: Request,
    guest: GuestDep,
    name: str,
    first: Annotated[date | None, Query()] = None,
    last: Annotated[date | None, Query()] = None,
) -> Response:
    """One report over a period."""
    parts: System = request.app.state.system
    backwards = first is not None and last is not None and last < first
    asked = reports.Asked() if backwards else reports.Asked(first=first, last=last)
    said: Any = await reports.read_report(name, parts, guest.who, asked)
    return page(request, "report.html", guest, report=said, plot=_plot(said.rows), backwards=backwards)


def _plot(rows: list[dict[str, Any]]) -> tuple[str, list[Bar]] | None:
    """The number of the report that says most, as bars: a share where it has one."""
    measure = next((name for name in (*SHARES, *COUNTS) if rows and rows[0].get(name) is not None), None)
    if measure is None:
        return None
    values = [(_named(row), float(row[measure])) for row in rows if row[measure] is not None]
    return measure, bars(values, 1.0 if measure in SHARES else None)


def _named(row: dict[str, Any]) -> str:
    return " · ".join(str(value) for value in row.values() if isinstance(value, str)) or "all"
