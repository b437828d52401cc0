"""Short pages of help: the same texts as `docs/guide/`."""

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response
from markdown_it import MarkdownIt
from markupsafe import Markup

from api.problems import Refusal
from desk.session import GuestDep
from desk.web import FORM_LIMIT, page

router = APIRouter(max_body_size=FORM_LIMIT)
GUIDE = Path(__file__).parents[2] / "docs" / "guide"


@router.get("/help", name="list-programs")
async def which(request: Request, guest: GuestDep) -> Response:
    """For whom there is a page."""
    return page(request, "help.html", guest, names=_names(), text=None)


@router.get("/help/{name}", name="list-programs")
async def one(request: Request, guest: GuestDep, name: str) -> Response:
    """One of them."""
    if name not in _names():
        raise Refusal(404, "NotFound", "there is no such page")
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render((GUIDE / f"{name}.md").read_text())
    return page(request, "help.html", guest, names=_names(), text=Markup(html))


def _names() -> list[str]:
    return sorted(path.stem for path in GUIDE.glob("*.md"))
