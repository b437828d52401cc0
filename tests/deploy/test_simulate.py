"""`make simulate` says how far it is, is bounded by what a programme promises, and leaves nothing behind."""

import contextlib
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.simulate import Pace
from domain.clocks.budget import Budget, Unit
from tests.deploy.systems import ROOT, tool, wait_until
from tests.story import in_force

pytestmark = pytest.mark.timeout(240)
DEMO = str(ROOT / "catalog/programs/demo-1.yaml")
PLAYED = "A contact is promised every 20 seconds: the time of 3 contacts is played, 0:01:00, instead of 3 days."


def children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def command_of(pid: int) -> str:
    """What a process runs; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_days_are_played_for_days_and_contacts_where_they_are_closer() -> None:
    """Thirty days of a contact every twenty seconds would take weeks."""
    paces = {p.program: Pace.of(in_force(), p, 30) for p in in_force().programs}
    short = paces.pop("demo")
    every = Budget(amount=20, unit=Unit.SECONDS)
    assert short == Pace(steps=30, step=timedelta(seconds=20), cadence=every)
    assert {pace.step for pace in paces.values()} == {timedelta(days=1)}


def test_a_programme_in_seconds_is_played_in_bounds_and_with_a_word(tmp_path: Path) -> None:
    """The sentence comes first, then three tables, in which nothing is cut."""
    found = tool("deploy.simulate", tmp_path, DEMO, "--days", "3")
    assert found.returncode == 0, found.stderr
    assert found.stderr.startswith(PLAYED)
    assert found.stdout.count("┏") == 3
    assert "supervisor: supervisor" in found.stdout


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after", ["its start", "a table"])
def test_a_stopped_simulation_ends_its_temporal_server(how: signal.Signals, after: str) -> None:
    """Also in the middle of its start, and when somebody is impatient and stops it twice."""
    command = [sys.executable, "-m", "deploy.simulate", DEMO, "--days", "300"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        servers: list[int] = []
        try:
            wait_until(lambda: "temporal" in "".join(map(command_of, children(process.pid))), "no server")
            [server] = servers = children(process.pid)
            if after == "a table":
                assert process.stdout is not None
                wait_until(lambda: "└" in str(process.stdout and process.stdout.readline()), "no table")
            process.send_signal(how)
            process.send_signal(how)
            _, said = process.communicate(timeout=60)
            left = command_of(server)
        finally:
            for pid in (process.pid, *servers):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    assert process.returncode == 130, said
    assert said.strip().endswith("Stopped; nothing of it is left.")
    assert "Traceback" not in said
    assert not left


@pytest.mark.parametrize(
    ("program", "more", "says"),
    [
        ("", {}, "give PROGRAM=catalog/programs/name-version.yaml"),
        ("/none/such-1.yaml", {}, "/none/such-1.yaml is no file"),
        (DEMO, {"TEMPORAL_BIN": "/none/temporal"}, "no Temporal server could be started"),
    ],
)
def test_what_a_simulation_lacks_is_said_in_a_sentence(
    tmp_path: Path, program: str, more: dict[str, str], says: str
) -> None:
    """The file, or the server."""
    found = tool("deploy.simulate", tmp_path, program, **more)
    assert (found.returncode, found.stdout) == (1, "")
    assert says in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
