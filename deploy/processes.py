"""The processes of one data folder: started, started again when one ends by itself, and stopped in order."""

import asyncio
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from deploy import pids
from infra.loopback import free_port

ROOT = Path(__file__).parent.parent
AGAIN_SECONDS, LONGEST_SECONDS, WELL_SECONDS = 0.5, 5.0, 10.0
STOP_SECONDS = 15.0  # a part that was asked to end and has not by then is killed
OWN_EVENT = re.compile(r"[a-z]+(_[a-z]+)*")  # our own events; others' are sentences, and may quote ids
LEVEL = re.compile(r"\blevel=([A-Za-z]+)")
EXCEPTION = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception))(?::|$)")


class StartFailed(Exception):
    """A part did not start; its log says more."""


class System:
    """The processes of one data folder."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir, self.port = data_dir, port
        self.engine_port, self.ui_port, self.metrics_port, self.mail_port = (free_port() for _ in range(4))
        self.hl7_port = free_port()
        self.children: dict[str, asyncio.subprocess.Process] = {}
        self.lock = -1
        self.up = False
        self._commands: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "CASELOOM_DATA_DIR": str(self.data_dir),
            "TEMPORAL_ADDRESS": f"127.0.0.1:{self.engine_port}",
            "CASELOOM_LOG_FORMAT": "json",
            "CASELOOM_SMTP_URL": os.environ.get("CASELOOM_SMTP_URL", f"smtp://127.0.0.1:{self.mail_port}"),
            "CASELOOM_FEEDS": os.environ.get("CASELOOM_FEEDS", f"demo-hospital:{self.hl7_port}"),
            "CASELOOM_PUBLIC_URL": os.environ.get("CASELOOM_PUBLIC_URL", self.address),
            "PYTHONPATH": str(ROOT),
        }

    async def start(self, name: str, *command: str, **more: str) -> None:
        """Start a part with its own log file, in its own process group so that Ctrl-C reaches us first."""
        self._commands[name] = command, more
        await self._launch(name)

    async def _launch(self, name: str) -> None:
        command, more = self._commands[name]
        with (self.data_dir / f"{name}.log").open("ab") as log:
            self.children[name] = await asyncio.create_subprocess_exec(
                *command,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**self.environment, **more},
                start_new_session=True,
                pass_fds=[self.lock],
            )
        self.write_down()

    def write_down(self) -> None:
        """Write down who runs where: whoever ends or looks after this folder's system begins there."""
        running = pids.Running(
            pid=os.getpid(),
            parts={name: process.pid for name, process in self.children.items()},
            temporal=f"127.0.0.1:{self.engine_port}",
            worker_metrics=f"http://127.0.0.1:{self.metrics_port}/metrics",
            mail=self.environment["CASELOOM_SMTP_URL"],
            address=self.address if self.up else None,
        )
        pids.write(self.data_dir, running)

    async def run(self, *command: str) -> int:
        """Run a command to its end, quietly."""
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *command, stdout=quiet, stderr=quiet, cwd=ROOT, env=self.environment
        )
        return await process.wait()

    def check(self) -> None:
        """Raises `StartFailed` when a part has ended by itself."""
        for name, process in self.children.items():
            if process.returncode is not None:
                raise StartFailed(f"{name} ended (exit {process.returncode}); {self.last_words(name)}")

    async def keep_up(self, name: str, tell: Callable[[str], None]) -> None:
        """Start a part again whenever it ends by itself, as production's supervisor does, for ever.

        One that ends at once is tried after longer and longer pauses; the other parts go on meanwhile.
        """
        pause = AGAIN_SECONDS
        while True:
            began = time.monotonic()
            exit_code = await self.children[name].wait()
            pause = AGAIN_SECONDS if time.monotonic() - began > WELL_SECONDS else min(2 * pause, LONGEST_SECONDS)
            tell(f"{name} ended (exit {exit_code}); starting it again in {pause:.1f} s; {self.last_words(name)}")
            await asyncio.sleep(pause)
            await self._launch(name)

    def last_words(self, name: str) -> str:
        """Where a part's log is, and what it said last, as far as that can name nobody."""
        path = self.data_dir / f"{name}.log"
        with path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 20_000))
            lines = log.read().decode(errors="replace").splitlines()
        said = gist(lines[-1]) if lines else ""
        return f"see {path}" + (f", which ends with: {said}" if said else "")

    async def stop(self) -> None:
        """Stop the parts, the engine last, and wait for them."""
        for name in ("listener", "api", "worker", "mail", "engine"):
            process = self.children.get(name)
            if process is None or process.returncode is not None:
                continue
            process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def gist(line: str) -> str:
    """Of a line of a log the level, the event and the exception's type: no ids, and nothing that anybody wrote."""
    try:
        said = json.loads(line)
    except ValueError:
        found = LEVEL.search(line) or EXCEPTION.match(line)
        return found[1] if found else ""
    if not isinstance(said, dict):
        return ""
    event = str(said.get("event", ""))
    words = (said.get("level"), event if OWN_EVENT.fullmatch(event) else None, said.get("fault"))
    return " ".join(str(word) for word in words if word)
