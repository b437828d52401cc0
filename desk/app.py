"""The desk's composition root: the API as it is, with the pages for people mounted beside it at `/desk`."""

import importlib
import pkgutil

from fastapi import APIRouter, FastAPI
from fastapi.responses import RedirectResponse

from api.app import build as build_api
from desk import commands, live, local, oidc, pages
from desk.web import SameOrigin, install, static_file


def routers() -> list[APIRouter]:
    """A page is a file in `desk/pages/`; the folder is the list."""
    found = [importlib.import_module(f"{pages.__name__}.{m.name}") for m in pkgutil.iter_modules(pages.__path__)]
    return [module.router for module in found]


def build_desk() -> FastAPI:
    """The pages, without a system behind them yet."""
    desk = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    install(desk)
    desk.add_middleware(SameOrigin)
    for router in (local.router, oidc.router, commands.router, live.router, *routers()):
        desk.include_router(router)
    desk.add_api_route("/static/{digest}/{name}", static_file, methods=["GET"])
    return desk


async def _door() -> RedirectResponse:
    return RedirectResponse("/desk/", 303)


def build() -> FastAPI:
    """API and desk as one application."""
    application, desk = build_api(), build_desk()
    desk.state = application.state  # one system behind both
    application.add_api_route("/", _door, methods=["GET"], include_in_schema=False)
    application.add_api_route("/desk", _door, methods=["GET"], include_in_schema=False)
    application.mount("/desk", desk)
    routes = application.router.routes
    routes.insert(0, routes.pop())  # asked for first: else each page is held against every route of the API
    return application


app = build()
