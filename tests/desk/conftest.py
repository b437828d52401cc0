"""The desk as a browser meets it, without one: the real application, and a cookie for whoever is signed in."""

import dataclasses
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import httpx2
import pytest_asyncio

from desk.app import app
from tests.office import PEOPLE, Office

ORIGIN = {"Sec-Fetch-Site": "same-origin"}


class Browser:
    """Somebody's browser: it keeps her cookie, and sends what a form holds."""

    def __init__(self, office: Office, person: str) -> None:
        self.office, self.person = office, person
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False, client=("127.0.0.1", 1))
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", timeout=60)

    async def sign_in(self) -> "Browser":
        answer = await self.post("/desk/sign-in", subject=self.person)
        assert answer.status_code == 303, answer.text
        return self

    async def get(self, path: str, **params: Any) -> httpx2.Response:
        return await self.http.get(path, params=params) if params else await self.http.get(path)

    async def post(self, path: str, /, **form: Any) -> httpx2.Response:
        return await self.http.post(path, data=form, headers=ORIGIN)

    async def page(self, path: str, **params: Any) -> str:
        """A page that must be there."""
        answer = await self.get(path, **params)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:2000])
        return answer.text

    async def fill(self, path: str, /, **typed: Any) -> httpx2.Response:
        """Open a form, fill it in and send it with all that it holds besides."""
        return await self.post(path.partition("?")[0], **{**fields(await self.page(path)), **typed})


def fields(html: str) -> dict[str, Any]:
    """What the form of a page sends as it stands: hidden fields, texts, and what is chosen already."""
    form = html.partition('<form method="post" action="/desk/cases')[2] or html.partition("<main")[2]
    form = form.partition("</form>")[0]
    found: dict[str, Any] = {}
    for tag in re.findall(r"<input [^>]*>", form):
        said = {name: unescape(value) for name, value in re.findall(r'([a-z_-]+)="([^"]*)"', tag)}
        if said.get("type") in ("radio", "checkbox") and " checked" not in tag:
            continue
        if "name" in said and said.get("type") == "checkbox":
            found.setdefault(said["name"], []).append(said.get("value", ""))
        elif "name" in said:
            found[said["name"]] = said.get("value", "")
    for name, inner in re.findall(r'<select [^>]*name="([^"]+)"[^>]*>(.*?)</select>', form, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', inner)
        found[name] = unescape(chosen[1]) if chosen else ""
    for name, inner in re.findall(r'<textarea [^>]*name="([^"]+)"[^>]*>(.*?)</textarea>', form, re.S):
        found[name] = unescape(inner)
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def at(office: Office) -> AsyncIterator[Any]:
    """`await at("cm-anna")` is her browser, signed in."""
    more = {"local_sign_in": True, "hosts": "127.0.0.1,caseloom.test"}
    parts = dataclasses.replace(office.parts, settings=office.parts.settings.model_copy(update=more))
    app.state.system = parts
    browsers: list[Browser] = []

    async def browser(person: str) -> Browser:
        assert person in PEOPLE
        browsers.append(Browser(office, person))
        return await browsers[-1].sign_in()

    yield browser
    for one in browsers:
        await one.http.aclose()
    parts.let_go()
