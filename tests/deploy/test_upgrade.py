"""A data folder that release 0.3.0 has left, with a case at work and a command queued, under this release."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deploy.drift import WELL, Comparison
from domain.values import Role
from infra import database, temporal, tokens
from infra.loopback import free_port
from infra.settings import Settings
from tests.deploy.systems import tool
from tests.story import referral

ROOT = Path(__file__).parents[2]
OLD = "4722ed7"  # the last commit of 0.3.0
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def old_release(tmp_path: Path) -> Path:
    """The code of 0.3.0, where git has it."""
    packed = tmp_path / "old.tar"
    made = subprocess.run(["git", "archive", "-o", packed, OLD], cwd=ROOT, capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"git does not have commit {OLD} here: a clone without its past")
    folder = tmp_path / "old"
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder


@contextmanager
def running(code: Path, data_dir: Path) -> Iterator[dict[str, Any]]:
    """A system of a release; on leaving it is stopped with Ctrl-C."""
    variables = {**os.environ, "CASELOOM_DATA_DIR": str(data_dir), "PORT": str(free_port())}
    marker, deadline = data_dir / "running.json", time.monotonic() + 90
    marker.unlink(missing_ok=True)  # of a system that was killed
    with (data_dir / "up.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.up"], cwd=code, env=variables, stdout=log, stderr=log
        )
    try:
        while not marker.exists() or not json.loads(marker.read_text())["address"]:
            assert process.poll() is None, (data_dir / "up.log").read_text()
            assert time.monotonic() < deadline, "it did not come up"
            time.sleep(0.1)
        yield json.loads(marker.read_text())
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def signed_in(data_dir: Path, person: str, role: Role, *teams: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.issue(Settings(data_dir=data_dir), person, role, teams)}"}


def client(system: dict[str, Any], headers: dict[str, str]) -> httpx2.Client:
    return httpx2.Client(base_url=system["address"], headers=headers, timeout=30)


def parts_of(system: dict[str, Any]) -> list[int]:
    """The processes of a running system, but for its keeper."""
    return [int(pid) for pid in Path(f"/proc/{system['pid']}/task/{system['pid']}/children").read_text().split()]


def workers_of(system: dict[str, Any]) -> list[int]:
    """Its worker among them."""
    return [pid for pid in parts_of(system) if b"worker.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def all_well(data_dir: Path, address: str) -> bool:
    """Whether every case of the engine and the record agree."""
    settings = Settings(data_dir=data_dir, TEMPORAL_ADDRESS=address)
    client, engine = await temporal.connect(settings), database.blocking(settings.database)
    try:
        findings = await Comparison(client, engine, settings, mend=False, over_gap=False).run()
    finally:
        engine.dispose()
    return bool(findings) and all(finding.state in WELL for finding in findings)


async def test_cases_of_the_last_release_go_on_and_what_was_queued_is_applied(
    old_release: Path, tmp_path: Path
) -> None:
    """Its runs are ended and begun anew from the record; the queued command is applied once, promises are kept."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    anna = signed_in(data_dir, "cm-anna", Role.CASE_MANAGER, "north")
    with running(old_release, data_dir) as system, client(system, anna) as http:
        body = {"program": "complex-care", "referral": referral(), "team": "north"}
        case_id = http.post("/cases", json=body).raise_for_status().json()["case_id"]
        path = f"/cases/{case_id}/commands"
        http.post(f"{path}/record-consent", json={"form": "verbal"}).raise_for_status()
        before = http.get(f"/cases/{case_id}").json()["case"]
        os.kill(system["pid"], signal.SIGSTOP)  # so that nobody starts the worker again
        for pid in workers_of(system):
            os.kill(pid, signal.SIGKILL)
        later = {"Prefer": "respond-async", "Idempotency-Key": "queued-1"}
        queued = http.post(f"{path}/add-note", json={"text": "sent to the old release"}, headers=later)
        assert queued.status_code == 202, queued.text
        for pid in (*parts_of(system), system["pid"]):
            os.kill(pid, signal.SIGKILL)
    with running(ROOT, data_dir) as system, client(system, anna) as http:
        deadline = time.monotonic() + 30
        while http.get(queued.headers["Location"]).json().get("status") != "applied":
            assert time.monotonic() < deadline, "the queued command was not applied"
            await asyncio.sleep(0.1)
        now = http.get(f"/cases/{case_id}?live=1").raise_for_status().json()
        assert now["case"]["seq"] == now["live"]["seq"] == before["seq"] + 1
        kept = [
            {name: clock[name] for name in old}
            for clock, old in zip(now["case"]["clocks"], before["clocks"], strict=True)
        ]
        assert kept == before["clocks"]
        assert now["live"]["wakes_at"]
        texts = [row["data"].get("text") for row in http.get(f"/cases/{case_id}/timeline").json()["items"]]
        assert texts.count("sent to the old release") == 1
        assert await all_well(data_dir, system["temporal"])
        assert tool("deploy.verify", data_dir).returncode == 0
    assert [p.name for p in data_dir.glob("caseloom.db*") if b"sent to the old release" in p.read_bytes()] == []
    assert [p.name for p in data_dir.glob("caseloom.db*") if b"verbal" in p.read_bytes()] == []
