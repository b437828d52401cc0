"""The API's own description, and a page to read it by, from our own files: nothing is loaded from elsewhere.

On a machine of one's own both are open; in the production profile they want a token like every route.
"""

from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from api.system import SystemDep, bearer, principal

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Caseloom API</title>
<link rel="stylesheet" href="/docs/files/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="/docs/files/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>
"""
START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true});\n'
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"


async def _may_read(
    request: Request,
    parts: SystemDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> None:
    if parts.settings.profile == "production":
        await principal(request, parts, credentials)


def install(app: FastAPI) -> None:
    """Add the description, its page and the page's files to the application."""
    headers = {"Content-Security-Policy": POLICY}
    who = [Depends(_may_read)]

    @app.get("/openapi.json", include_in_schema=False, dependencies=who)
    async def openapi() -> Response:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False, dependencies=who)
    async def page() -> Response:
        return HTMLResponse(PAGE, headers=headers)

    @app.get("/docs/start.js", include_in_schema=False, dependencies=who)
    async def start() -> Response:
        return Response(START, media_type="text/javascript", headers=headers)

    app.mount("/docs/files", StaticFiles(directory=Path(swagger_ui_path)), name="docs-files")
