"""Systems of `make up` for tests: started in data folders of their own, and gone when the test is over."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy import pids
from infra.loopback import free_port

ROOT = Path(__file__).parents[2]


def variables(data_dir: Path, port: int = 0, **more: str) -> dict[str, str]:
    here = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    busy = {"CASELOOM_RECORD_SECONDS": "10"}  # other tests run beside this system
    return {**here, **busy, "CASELOOM_DATA_DIR": str(data_dir), "PORT": str(port), **more}


def tool(name: str, data_dir: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run one of the tools to its end, as its make target does."""
    return subprocess.run(
        [sys.executable, "-m", name, *arguments],
        cwd=ROOT,
        env=variables(data_dir, free_port(), **more),
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def started(data_dir: Path, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """`make up`, which is not up yet. Nothing of it is left when the test is over, however it ends."""
    command = [sys.executable, "-m", "deploy.up"]
    with said(data_dir).open("ab") as out:
        told = {"stdout": out, "stderr": out, **more}
        process = subprocess.Popen(command, cwd=ROOT, env=variables(data_dir, free_port()), **told)
    try:
        yield process
    finally:
        tool("deploy.down", data_dir)
        process.wait()


def said(data_dir: Path) -> Path:
    """What `make up` wrote on its terminal."""
    return data_dir.with_suffix(".out")


def written(data_dir: Path) -> dict[str, Any]:
    """What `make up` has written down; nothing before its first part runs."""
    path = data_dir / "running.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def everybody(data_dir: Path) -> dict[str, int]:
    """All processes of a system, by name."""
    found = written(data_dir)
    return {"make up": found["pid"], **found["parts"]}


def nobody_left(data_dir: Path, processes: dict[str, int]) -> bool:
    """Whether all of them are gone."""
    return not pids.holders(data_dir) and not any(pids.holds(pid, data_dir) for pid in processes.values())


def wait_until(condition: Callable[[], Any], otherwise: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def wait_until_up(process: subprocess.Popen[bytes], data_dir: Path) -> str:
    """Wait for a started system; return its address."""

    def answers() -> bool:
        assert process.poll() is None, f"it stopped by itself: {said(data_dir).read_text()}"
        return written(data_dir).get("address") is not None

    wait_until(answers, "it did not come up")
    return str(written(data_dir)["address"])


@contextmanager
def running(data_dir: Path, **more: Any) -> Iterator[str]:
    """A system that is up; on leaving it is stopped with Ctrl-C and must end cleanly."""
    with started(data_dir, **more) as process:
        yield wait_until_up(process, data_dir)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not (data_dir / "running.json").exists()
