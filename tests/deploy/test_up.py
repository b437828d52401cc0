"""`make up` and `make demo` as a newcomer runs them, each with a data folder of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from domain.values import Role
from infra import tokens
from infra.loopback import free_port
from infra.settings import Settings

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(240)


def variables(data_dir: Path, port: int = 0) -> dict[str, str]:
    return {**os.environ, "CASELOOM_DATA_DIR": str(data_dir), "PORT": str(port)}


@contextmanager
def running(data_dir: Path) -> Iterator[str]:
    """A system that is up; on leaving it is stopped with Ctrl-C and must end cleanly."""
    command = [sys.executable, "-m", "deploy.up"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, env=variables(data_dir, free_port()), stdout=quiet, stderr=quiet)
    marker = data_dir / "running.json"
    try:
        deadline = time.monotonic() + 90
        while not marker.exists():
            assert process.poll() is None, "it stopped by itself"
            assert time.monotonic() < deadline, "it did not come up"
            time.sleep(0.1)
        yield json.loads(marker.read_text())["address"]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not marker.exists()


def listed(address: str, data_dir: Path) -> list[dict[str, Any]]:
    token = tokens.issue(Settings(data_dir=data_dir), "dir-1", Role.DIRECTOR)
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx2.get(f"{address}/cases?limit=200&sort=opened_at", headers=headers).raise_for_status()
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def kill_every_part(data_dir: Path) -> None:
    """SIGKILL to the engine, the worker and the API, as a machine short of memory does."""
    pid = json.loads((data_dir / "running.json").read_text())["pid"]
    parts = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert len(parts) == 3
    for part in parts:
        os.kill(int(part), signal.SIGKILL)


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


def test_the_demo_runs_on_a_fresh_system_and_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """The escalation climbs untouched, the case is closed, and neither kills nor stopping lose anything."""
    with running(tmp_path) as address:
        demo = subprocess.run(
            [sys.executable, "-m", "deploy.demo"],
            cwd=ROOT,
            env=variables(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert demo.returncode == 0, demo.stdout + demo.stderr
        for words in ("told the supervisor", "case closed", "escalation-acknowledged"):
            assert words in demo.stdout
        metered = httpx2.get(json.loads((tmp_path / "running.json").read_text())["worker_metrics"]).text
        for name in (
            "caseloom_commands_total",
            "caseloom_clocks_missed_total",
            "temporal_",
        ):
            assert name in metered
        headers = {"Authorization": f"Bearer {tokens.issue(Settings(data_dir=tmp_path), 'aud-1', Role.AUDITOR)}"}
        served = httpx2.get(f"{address}/metrics", headers=headers).raise_for_status().text
        for name in ("caseloom_escalations_open", "caseloom_cases_open", "temporal_request"):
            assert name in served
        before = listed(address, tmp_path)
        assert len(before) == 12
        kill_every_part(tmp_path)
        wait_until_well(address)
        assert listed(address, tmp_path) == before
    with running(tmp_path) as address:
        assert listed(address, tmp_path) == before


def test_without_a_running_system_the_demo_says_what_to_do(tmp_path: Path) -> None:
    """And a folder that is not there is named."""
    command = [sys.executable, "-m", "deploy.demo"]
    alone = subprocess.run(command, cwd=ROOT, env=variables(tmp_path), capture_output=True, text=True, check=False)
    assert alone.returncode == 2
    assert "make up" in alone.stdout
    wrong = subprocess.run(
        [*command, "/nowhere"], cwd=ROOT, env=variables(tmp_path), capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "/nowhere is not there" in wrong.stderr


def test_make_token_prints_a_token_and_nothing_else(tmp_path: Path) -> None:
    """For the role, the subject and the team that were asked for; a wrong one is refused in words."""
    make = ["make", "-s", "token", "SUBJECT=sup-1", "TEAM=north", f"DATA_DIR={tmp_path}", f"PY={sys.executable}"]
    made = subprocess.run([*make, "ROLE=supervisor"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(made.stdout.split()) == 1
    import jwt

    claims = jwt.decode(made.stdout.strip(), options={"verify_signature": False})
    assert (claims["sub"], claims["role"], claims["teams"]) == ("sup-1", "supervisor", ["north"])
    wrong = subprocess.run([*make, "ROLE=queen"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert wrong.returncode != 0
    assert "case-manager" in wrong.stderr
