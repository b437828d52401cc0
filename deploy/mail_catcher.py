"""A mail server for one machine: it takes every mail and keeps it as a file in the data folder. For `make up`."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from infra.settings import Settings

KEPT = 1000  # the newest; older ones are let go of


class Catcher:
    """Writes each mail into a file of its own, named by its number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._next = 1 + max((int(path.stem) for path in folder.glob("*.eml")), default=0)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep a mail, whole or not at all, before it is acknowledged."""
        path = self._folder / f"{self._next:06d}.eml"
        part = path.with_suffix(".part")
        part.write_bytes(envelope.content)
        part.rename(path)
        (self._folder / f"{self._next - KEPT:06d}.eml").unlink(missing_ok=True)
        self._next += 1
        return "250 kept"


async def main() -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    catcher = Catcher(Settings().data_dir / "mail")
    serving = await loop.create_server(lambda: SMTP(catcher), host="127.0.0.1", port=int(sys.argv[1]))
    async with serving:
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
