"""`make down` ends what a killed `make up` left in a data folder, and nothing that is somebody else's."""

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy import pids
from tests.deploy.systems import everybody, nobody_left, started, tool, wait_until, written

pytestmark = pytest.mark.timeout(240)
SLEEPER = [sys.executable, "-c", "import sys, time; print('ready', flush=True); time.sleep(600)"]


@contextmanager
def stranger(**more: object) -> Iterator[subprocess.Popen[bytes]]:
    """A real process that has nothing to do with any system."""
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, **more) as process:  # type: ignore[call-overload]
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_start_that_was_killed_half_way_is_ended_too(tmp_path: Path) -> None:
    """The engine is written down from its first moment, when nothing answers yet."""
    with started(tmp_path) as process:
        wait_until(lambda: written(tmp_path).get("parts"), "no part was written down")
        assert written(tmp_path)["address"] is None
        process.kill()
        process.wait()
        left = everybody(tmp_path)
        assert tool("deploy.demo", tmp_path).stderr.startswith("no system runs on")
        assert f"engine (pid {left['engine']})" in tool("deploy.down", tmp_path).stdout
    assert nobody_left(tmp_path, left)


def test_a_process_that_has_inherited_a_number_is_left_alone(tmp_path: Path) -> None:
    """The file says so, the machine says otherwise; what holds the lock and is not written down is named only."""
    with stranger() as other, (tmp_path / "lock").open("w") as lock:
        pids.write(tmp_path, pids.Running(pid=other.pid, parts={"engine": other.pid}, temporal="127.0.0.1:1"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        with stranger(pass_fds=[lock.fileno()]) as holder:
            lock.close()
            down = tool("deploy.down", tmp_path)
            assert down.returncode == 1
            assert f"end it yourself: pid {holder.pid}" in down.stdout
            assert holder.poll() is None
        down = tool("deploy.down", tmp_path)
        assert (down.returncode, down.stdout) == (0, f"Nothing runs on {tmp_path}.\n")
        assert other.poll() is None
    assert not (tmp_path / "running.json").exists()


def test_where_a_machine_does_not_say_whose_a_process_is_nothing_is_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The processes are named, and left to a person."""
    from deploy import down

    monkeypatch.setattr(pids, "PROC", tmp_path / "no-proc")
    monkeypatch.setenv("CASELOOM_DATA_DIR", str(tmp_path))
    with stranger() as other, (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pids.write(tmp_path, pids.Running(pid=other.pid, parts={"engine": other.pid}, temporal="127.0.0.1:1"))
        assert down.main() == 1
        assert f"end them yourself: make up (pid {other.pid})" in capsys.readouterr().out
        assert other.poll() is None


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Nothing runs there."""
    down = tool("deploy.down", tmp_path / "none")
    assert (down.returncode, down.stdout) == (0, f"Nothing runs on {tmp_path / 'none'}.\n")
    assert not (tmp_path / "none").exists()
