"""The processes of one data folder: started, started again when one ends by itself, and stopped in order."""

import asyncio
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path

from infra.loopback import free_port

ROOT = Path(__file__).parent.parent
AGAIN_SECONDS = 0.5
MOST_ENDS, WITHIN_SECONDS = 5, 60.0  # a part that ends so often in so short a time will not stay up


class StartFailed(Exception):
    """A part did not start; its log says more."""


class System:
    """The processes of one data folder."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir, self.port = data_dir, port
        self.engine_port, self.ui_port, self.metrics_port = (free_port() for _ in range(3))
        self.children: dict[str, asyncio.subprocess.Process] = {}
        self.lock = -1
        self._commands: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {}

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "CASELOOM_DATA_DIR": str(self.data_dir),
            "TEMPORAL_ADDRESS": f"127.0.0.1:{self.engine_port}",
            "CASELOOM_LOG_FORMAT": "json",
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
                raise StartFailed(f"{name} stopped; see {self.data_dir / name}.log")

    async def keep_up(self, tell: Callable[[str], None]) -> str:
        """Start again whatever ends by itself, as production's supervisor does; return what will not stay up."""
        ends: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MOST_ENDS))
        while True:
            for name in await self._ended():
                ends[name].append(time.monotonic())
                if len(ends[name]) == MOST_ENDS and ends[name][-1] - ends[name][0] < WITHIN_SECONDS:
                    return name
                tell(f"{name} ended by itself (exit {self.children[name].returncode}); starting it again")
                await asyncio.sleep(AGAIN_SECONDS)
                await self._launch(name)

    async def _ended(self) -> list[str]:
        """Wait until a part ends; return those that have."""
        waits = [asyncio.create_task(process.wait()) for process in self.children.values()]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return [name for name, process in self.children.items() if process.returncode is not None]

    async def stop(self) -> None:
        """Stop the parts, the engine last, and wait for them."""
        for name in ("api", "worker", "engine"):
            process = self.children.get(name)
            if process is None or process.returncode is not None:
                continue
            process.terminate()
            try:
                async with asyncio.timeout(15):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
