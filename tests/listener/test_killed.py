"""A listener that is killed at any moment: what it has acknowledged is on record, and is told once."""

import asyncio
import base64
import contextlib
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.encryption import load_keys
from infra.loopback import free_port
from infra.settings import Settings
from listener import BEGIN, END
from tests.exchange.test_hl7 import hl7
from tests.listener.test_listener import NUMBER
from tests.office import Office

ROOT = Path(__file__).parents[2]
KILLS, SENDERS = 4, 4
pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def started(office: Office, address: str, keys: str, port: int) -> asyncio.subprocess.Process:
    """A listener as a process, once it listens."""
    settings = office.parts.settings
    variables = {
        "CASELOOM_DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": office.parts.engine.url.render_as_string(hide_password=False),
        "TEMPORAL_ADDRESS": address,
        "CASELOOM_TASK_QUEUE": settings.task_queue,
        # the engine of the tests has a key of its own, and what is on record another
        "CASELOOM_ENCRYPTION_KEYS": ",".join([keys, *_of_record(settings)]),
        "CASELOOM_FEEDS": f"demo-hospital:{port}",
        "PYTHONPATH": str(ROOT),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "listener.py"),
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return process
            await asyncio.sleep(0.05)


def _of_record(settings: Settings) -> list[str]:
    return [base64.b64encode(key).decode() for key in load_keys(settings.encryption_keys, settings.data_dir)]


async def keep_sending(port: int, sender: int, acknowledged: set[str], stop: asyncio.Event) -> None:
    """Send one message after another, and each again until it is answered, as a hospital's engine does.

    No two of the visits began at once: one setting at one time is one stay, whoever tells it. Sent again a message
    is the same message to the last byte.
    """
    number, now = 0, datetime.now(UTC)
    while not stop.is_set():
        visit, began = f"S{sender}N{number}", now - timedelta(hours=1 + number, minutes=7 * sender)
        message = hl7("A04", {2: "E", 44: f"{began:%Y%m%d%H%M%S}+0000", 19: visit}, id=visit)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(writer):
                writer.write(BEGIN + message + END)
                if b"MSA|AA|" in await reader.readuntil(END):
                    acknowledged.add(visit)
                    number += 1
        await asyncio.sleep(0.05)


@pytest.mark.timeout(180)
async def test_what_was_acknowledged_is_told_once_however_often_the_listener_is_killed(
    office: Office, environment_address: str, keys: str
) -> None:
    case_id = await office.open(person={"names": [{"family": "Zephyrine"}], "identifiers": [NUMBER]})
    port, acknowledged, stop = free_port(), set[str](), asyncio.Event()
    senders = [asyncio.create_task(keep_sending(port, n, acknowledged, stop)) for n in range(SENDERS)]
    for round_ in range(1, KILLS + 1):
        process = await started(office, environment_address, keys, port)
        await office.until(lambda r=round_: _more_than(acknowledged, r * SENDERS))  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        await process.wait()
    process = await started(office, environment_address, keys, port)
    stop.set()
    await asyncio.gather(*senders)

    async def all_told() -> bool:
        await asyncio.sleep(0.3)
        return bool((await office.get("sup-1", "/inbound", state="waiting")).json()["items"] == [])

    await office.until(all_told, seconds=60)
    process.terminate()
    assert await process.wait() == 0
    recorded = (await office.kinds(case_id)).count("transition-recorded")
    done = len((await office.get("sup-1", "/inbound", state="done", limit=200)).json()["items"])
    assert recorded == done
    assert KILLS * SENDERS < len(acknowledged) <= done, (
        "what was acknowledged is told; the last may be without answer"
    )


async def _more_than(found: set[str], number: int) -> bool:
    return len(found) > number
