"""`make up` and `make demo` as a newcomer runs them, each with a data folder of its own."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.metrics import gauges
from domain.values import Role
from infra import tokens
from infra.loopback import answers
from infra.settings import Settings
from tests.deploy.systems import ROOT, everybody, nobody_left, running, said, started, tool, wait_until_up, written
from tests.deploy.test_alerts import TEMPORAL

pytestmark = pytest.mark.timeout(240)


def listed(address: str, data_dir: Path) -> list[dict[str, Any]]:
    token = tokens.issue(Settings(data_dir=data_dir), "dir-1", Role.DIRECTOR)
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx2.get(f"{address}/cases?limit=200&sort=opened_at", headers=headers).raise_for_status()
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def kill_every_part(data_dir: Path) -> dict[str, int]:
    """SIGKILL to every part, as a machine short of memory does; return who they were."""
    parts: dict[str, int] = written(data_dir)["parts"]
    assert set(parts) == {"engine", "worker", "api", "listener", "mail"}
    for part in parts.values():
        os.kill(part, signal.SIGKILL)
    return parts


def wait_until_well(address: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx2.get(f"{address}/healthz").json()["status"] == "ok":
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError("it did not come back")


def check_what_is_said_of_the_worker(data_dir: Path, shown: str) -> None:
    """Of a part that ends nothing is told out of its log but the level and the event of its last line."""
    [ended] = re.findall(r"worker ended.*?(?=\r|\n)", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))
    log = re.escape(str(data_dir / "worker.log"))
    form = rf"worker ended \(exit -9\); starting it again in \d\.\d s; see {log}(, which ends with: [a-z_ ]+)?"
    assert re.fullmatch(form, ended), ended


class Terminal:
    """A screen in front of which somebody sits; it takes no more than is read off it meanwhile."""

    def __init__(self) -> None:
        self._screen, self.wire = pty.openpty()
        self._text = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        return self._text.decode()

    def _read(self) -> None:
        try:
            while more := os.read(self._screen, 10_000):
                self._text += more
        except OSError:  # the last process that wrote on it is gone
            pass

    def close(self) -> str:
        """Stop reading; return all that was shown."""
        os.close(self.wire)
        self._reader.join(10)
        os.close(self._screen)
        return self.text


def check_demo(data_dir: Path) -> None:
    """The escalation climbs untouched, and the case is closed."""
    demo = tool("deploy.demo", data_dir)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    for words in (
        "told the supervisor",
        "and by mail: sup-1@example.org",
        "case closed",
        "escalation-acknowledged",
    ):
        assert words in demo.stdout


def check_metrics(address: str, data_dir: Path) -> None:
    metered = httpx2.get(written(data_dir)["worker_metrics"]).text
    for name in ("caseloom_commands_total", "caseloom_clocks_missed_total", *TEMPORAL):
        assert name in metered
    headers = {"Authorization": f"Bearer {tokens.issue(Settings(data_dir=data_dir), 'aud-1', Role.AUDITOR)}"}
    served = httpx2.get(f"{address}/metrics", headers=headers).raise_for_status().text
    for name in (*(gauge.name for gauge in gauges(datetime.now(UTC))), "caseloom_workers", "temporal_request"):
        assert name in served


def check_what_a_kill_left(data_dir: Path, left: dict[str, int]) -> None:
    """`make up` names the processes; `make down` ends them, one that hears nothing too, and then does no harm."""
    refused = tool("deploy.up", data_dir)
    assert refused.returncode == 1
    assert "make down" in refused.stderr
    for name in ("engine", "worker", "api"):
        assert f"{name} (pid {left[name]})" in refused.stderr
    os.kill(left["api"], signal.SIGSTOP)
    down = tool("deploy.down", data_dir)
    assert (down.returncode, down.stderr) == (0, "")
    assert f"api (pid {left['api']}, killed), worker (pid {left['worker']}), mail" in down.stdout
    assert nobody_left(data_dir, left)
    assert not (data_dir / "running.json").exists()
    again = tool("deploy.down", data_dir)
    assert (again.returncode, again.stdout) == (0, f"Nothing runs on {data_dir}.\n")


def test_a_system_keeps_everything_through_its_life(tmp_path: Path) -> None:
    """Up on a terminal, with tokens shown once; its parts killed and begun again; ended by Ctrl-C, by kill -9 with
    `make down` after it, and by `make down` alone. One life, since each start costs half a minute of two cores."""
    first = Terminal()
    with running(tmp_path, stderr=first.wire) as address:
        check_demo(tmp_path)
        check_metrics(address, tmp_path)
        before = listed(address, tmp_path)
        assert len(before) == 36  # thirty who are there from the start, and six of the demo
        killed = kill_every_part(tmp_path)
        wait_until_well(address)
        assert listed(address, tmp_path) == before
        assert not set(written(tmp_path)["parts"].values()) & set(killed.values())
    shown = first.close()
    assert ("eyJ" in shown, "make -s token" in shown) == (True, True)
    check_what_is_said_of_the_worker(tmp_path, shown)
    second = Terminal()
    with started(tmp_path, stderr=second.wire) as process:
        address = wait_until_up(process, tmp_path)
        assert listed(address, tmp_path) == before
        left = everybody(tmp_path)
        process.kill()
        process.wait()
        check_what_a_kill_left(tmp_path, left)
    shown = second.close()
    assert ("eyJ" in shown, "make -s token" in shown) == (False, True)
    with started(tmp_path) as process:
        address = wait_until_up(process, tmp_path)
        assert answers(int(address.rpartition(":")[2]))
        left = everybody(tmp_path)
        down = tool("deploy.down", tmp_path)
        assert down.stdout == f"Ended on {tmp_path}: make up (pid {left['make up']}).\n"
        assert process.wait(5) == 0  # ended by its keeper, its parts in order
    assert "eyJ" not in said(tmp_path).read_text()  # what is no terminal is shown none
    assert nobody_left(tmp_path, left)


def test_a_folder_of_bundles_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Before anything else is looked at."""
    wrong = tool("deploy.demo", tmp_path, "/nowhere")
    assert wrong.returncode == 2
    assert "/nowhere is not there" in wrong.stderr


def test_make_token_prints_a_token_and_nothing_else(tmp_path: Path) -> None:
    """For the role, the subject and the team that were asked for; a wrong one is refused in words."""
    tokens.signing_key(tmp_path)
    make = ["make", "-s", "token", "SUBJECT=sup-1", "TEAM=north", f"DATA_DIR={tmp_path}", f"PY={sys.executable}"]
    made = subprocess.run([*make, "ROLE=supervisor"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(made.stdout.split()) == 1
    import jwt

    claims = jwt.decode(made.stdout.strip(), options={"verify_signature": False})
    assert (claims["sub"], claims["role"], claims["teams"]) == ("sup-1", "supervisor", ["north"])
    wrong = subprocess.run([*make, "ROLE=queen"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert wrong.returncode != 0
    assert "case-manager" in wrong.stderr
