"""`make screenshots`: pictures of the demo population for the README and the guides, by a real browser.

The system of `make up` must run. The pictures go to `docs/pictures/`.
"""

import asyncio
import os
import shutil
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from deploy import running
from infra.settings import Settings

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
SIZE = {"width": 1280, "height": 860}
SHOWN = {  # the picture, who looks, and at which page; `first` is the first case of that page
    "today": ("cm-anna", "", False),
    "case": ("cm-anna", "", True),
    "caseload": ("sup-1", "caseload", False),
}


async def signed_in(browser: Browser, address: str, person: str) -> Page:
    """Her browser, signed in."""
    page = await (await browser.new_context(viewport=SIZE, base_url=address)).new_page()  # type: ignore[arg-type]
    await page.goto("/desk/sign-in")
    await page.locator(f'button[value="{person}"]').click()
    await page.wait_for_url("**/desk/")
    return page


async def main() -> None:
    address = running.address(Settings())
    if CHROMIUM is None:
        raise running.NotHere("no Chromium here: set CHROMIUM, or `make browser`")
    PICTURES.mkdir(exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        for name, (person, path, first) in SHOWN.items():
            page = await signed_in(browser, address, person)
            await page.goto(f"/desk/{path}")
            if first:
                await page.locator('main a[href^="/desk/cases/"]').first.click()
                await page.wait_for_load_state()
            await page.screenshot(path=PICTURES / f"{name}.png")
        await browser.close()
    print(f"{len(SHOWN)} pictures in {PICTURES}")


if __name__ == "__main__":
    asyncio.run(main())
