"""The processes of a data folder: as `make up` wrote them down, and whether they are still these.

A number alone proves nothing, because the machine gives it to somebody else later. A process is the folder's when
it holds the folder's lock open, which `make up` and its parts do for as long as they live.
"""

import fcntl
from pathlib import Path

from pydantic import ValidationError

from domain.values import Value

PROC = Path("/proc")  # where Linux says which files a process holds


class Running(Value):
    """What `make up` writes down: its own process, its parts, and where they answer once all of them do."""

    pid: int
    parts: dict[str, int] = {}
    temporal: str
    worker_metrics: str = ""
    mail: str = ""
    address: str | None = None

    @property
    def processes(self) -> dict[str, int]:
        """The keeper first, because it starts ended parts again; then the parts, in the order of their end."""
        return {"make up": self.pid, **dict(reversed(self.parts.items()))}


def read(folder: Path) -> Running | None:
    """What is written down in a folder; None where there is nothing, or nothing that can be read."""
    try:
        return Running.model_validate_json((folder / "running.json").read_text())
    except (OSError, ValidationError):
        return None


def write(folder: Path, running: Running) -> None:
    """Write it down in one go: whoever waits for it may read it at once."""
    draft = folder / "running.draft"
    draft.write_text(running.model_dump_json())
    draft.replace(folder / "running.json")


def forget(folder: Path) -> None:
    (folder / "running.json").unlink(missing_ok=True)


def busy(folder: Path) -> bool:
    """Whether any process holds the folder's lock."""
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def clear(folder: Path) -> bool:
    """Take what is written down away, unless somebody holds the folder's lock; return whether nobody does."""
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            forget(folder)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def can_tell() -> bool:
    """Whether this machine says which files a process holds."""
    return (PROC / "self/fd").is_dir()


def holds(pid: int, folder: Path) -> bool:
    """Whether a process holds the folder's lock open. One that has ended, or is somebody else's, does not."""
    try:
        links = list((PROC / str(pid) / "fd").iterdir())
    except OSError:
        return False
    return any(_same(link, folder / "lock") for link in links)


def _same(link: Path, lock: Path) -> bool:
    try:
        return link.samefile(lock)
    except OSError:  # closed while we looked
        return False


def ours(folder: Path) -> dict[str, int]:
    """The processes that are written down and still hold the folder's lock, by name."""
    running = read(folder)
    known = running.processes if running else {}
    return {name: pid for name, pid in known.items() if holds(pid, folder)}


def holders(folder: Path) -> list[int]:
    """Every process that holds the folder's lock, as far as we may look."""
    return sorted(int(entry.name) for entry in PROC.glob("[0-9]*") if holds(int(entry.name), folder))


def named(processes: dict[str, int]) -> str:
    """Processes in words."""
    return ", ".join(f"{name} (pid {pid})" for name, pid in processes.items())
