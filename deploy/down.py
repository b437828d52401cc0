"""`make down`: ends the system of a data folder, also the parts that a killed `make up` has left behind.

Each process is asked to end, and killed when it has not after a time. Nothing is killed on the word of a file
alone: a process that does not hold the folder's lock is somebody else's.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from deploy import pids
from deploy.processes import STOP_SECONDS
from infra.settings import Settings

KEEPER_SECONDS = 4 * STOP_SECONDS  # `make up` itself waits for each of its three parts
RELEASE_SECONDS = 5.0


def end(pid: int, folder: Path, seconds: float) -> bool:
    """End a process of this folder; return whether it had to be killed."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        if gone(pid, folder, seconds):
            return False
        os.kill(pid, signal.SIGKILL)
        gone(pid, folder, STOP_SECONDS)
        return True
    return False


def gone(pid: int, folder: Path, seconds: float) -> bool:
    """Wait until a process has ended, for so long at most."""
    until = time.monotonic() + seconds
    while pids.holds(pid, folder):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def end_all(folder: Path) -> list[str]:
    """End what is written down, the keeper first; return in words what was ended.

    The file is read again after each: until the keeper has ended it starts its parts anew.
    """
    ended: dict[int, str] = {}
    while found := {name: pid for name, pid in pids.ours(folder).items() if pid not in ended}:
        name, pid = next(iter(found.items()))
        killed = end(pid, folder, KEEPER_SECONDS if name == "make up" else STOP_SECONDS)
        ended[pid] = f"{name} (pid {pid}{', killed' if killed else ''})"
    return list(ended.values())


def cleared(folder: Path) -> bool:
    """Take away what is written down, once the lock is free: it is held a moment longer than its holder lives."""
    until = time.monotonic() + RELEASE_SECONDS
    while not pids.clear(folder):
        if pids.holders(folder) or time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def main() -> int:
    folder = Settings().data_dir.absolute()
    if pids.busy(folder) and not pids.can_tell():
        running = pids.read(folder)
        listed = pids.named(running.processes) if running else "nobody wrote down which"
        print(f"This machine does not say whose a process is; look at them and end them yourself: {listed}.")
        return 1
    ended = end_all(folder)
    if not cleared(folder):
        left = ", ".join(f"pid {pid}" for pid in pids.holders(folder)) or "processes of another user"
        print(f"{folder}/lock is held by what `make up` did not write down; look and end it yourself: {left}.")
        return 1
    print(f"Ended on {folder}: {', '.join(ended)}." if ended else f"Nothing runs on {folder}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
