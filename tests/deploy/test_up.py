"""`make up` and `make demo` as a newcomer runs them, each with a data folder of its own."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from domain.values import Role
from infra import tokens
from infra.settings import Settings
from tests.deploy.systems import ROOT, running, said, started, tool, written

pytestmark = pytest.mark.timeout(240)


def listed(address: str, data_dir: Path) -> list[dict[str, Any]]:
    token = tokens.issue(Settings(data_dir=data_dir), "dir-1", Role.DIRECTOR)
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx2.get(f"{address}/cases?limit=200&sort=opened_at", headers=headers).raise_for_status()
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def kill_every_part(data_dir: Path) -> dict[str, int]:
    """SIGKILL to the engine, the worker and the API, as a machine short of memory does; return who they were."""
    parts: dict[str, int] = written(data_dir)["parts"]
    assert set(parts) == {"engine", "worker", "api"}
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


def said_of_the_worker(data_dir: Path) -> str:
    """What `make up` says where it is no terminal: no token, and of a part that ends nothing out of its log but
    the level and the event of the last line."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said(data_dir).read_text())
    assert "eyJ" not in text
    assert "make -s token" in text
    [ended] = re.findall(r"worker ended.*", text)
    return str(ended)


def test_the_demo_runs_on_a_fresh_system_and_everything_is_there_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The escalation climbs untouched, the case is closed, and neither kills nor stopping lose anything."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # colours are no terminal
    with running(tmp_path) as address:
        demo = tool("deploy.demo", tmp_path)
        assert demo.returncode == 0, demo.stdout + demo.stderr
        for words in ("told the supervisor", "case closed", "escalation-acknowledged"):
            assert words in demo.stdout
        metered = httpx2.get(written(tmp_path)["worker_metrics"]).text
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
        killed = kill_every_part(tmp_path)
        wait_until_well(address)
        assert listed(address, tmp_path) == before
        assert not set(written(tmp_path)["parts"].values()) & set(killed.values())
        log = re.escape(str(tmp_path / "worker.log"))
        form = rf"worker ended \(exit -9\); starting it again in \d\.\d s; see {log}(, which ends with: [a-z_ ]+)?"
        assert re.fullmatch(form, said_of_the_worker(tmp_path))
    with running(tmp_path) as address:
        assert listed(address, tmp_path) == before


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


def shown_on_a_terminal(data_dir: Path) -> str:
    """What `make up` shows to a person until it is up. A terminal takes no more than is read off it meanwhile."""
    screen, terminal = pty.openpty()
    text = b""
    with started(data_dir, stderr=terminal):
        os.close(terminal)
        try:
            while b"finds it again" not in text:
                text += os.read(screen, 10_000)
        except OSError:
            raise AssertionError(f"it stopped by itself: {text.decode()}") from None
    os.close(screen)
    return text.decode()


def test_tokens_are_shown_to_a_person_once(tmp_path: Path) -> None:
    """At the first start on a terminal, and never again; how to get one is said each time."""
    for first in (True, False):
        shown = shown_on_a_terminal(tmp_path)
        assert ("eyJ" in shown) is first
        assert "make -s token" in shown
