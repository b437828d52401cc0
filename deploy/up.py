"""`make up`: a whole system on this machine: Temporal server, record, worker, API, and a small demo population.

Everything it keeps lies in the data folder, so that stopping and starting again finds every case where it
was. A part that ends by itself is started again. Ctrl-C, or SIGTERM, stops all of it. What is slow to import
is imported while the parts are starting.
"""

import asyncio
import fcntl
import http.client
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import TextIO

from sqlalchemy.exc import SQLAlchemyError

from deploy import pids
from deploy.console import console as shown
from deploy.processes import StartFailed, System
from infra.loopback import answers, temporal_binary
from infra.settings import Settings

PATIENCE = ("--timeout-graceful-shutdown", "2")  # an open stream of a page keeps no process from ending
WAIT_SECONDS = 60
RETENTION = "720h"  # closed workflows stay readable for thirty days
console = shown()


async def start_engine(system: System) -> None:
    """A real Temporal server on a SQLite file; write-ahead logging and full sync lose nothing."""
    binary = temporal_binary()
    await system.start(
        "engine",
        *(binary, "server", "start-dev", "--ip", "127.0.0.1", "--log-level", "error"),
        *("--port", str(system.engine_port), "--ui-port", str(system.ui_port)),
        *("--db-filename", str(system.data_dir / "temporal.db")),
        *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=FULL"),
    )
    async with asyncio.timeout(WAIT_SECONDS):
        while not answers(system.engine_port):
            system.check()
            await asyncio.sleep(0.05)


async def keep_history(system: System) -> None:
    """Keep closed workflows readable; the server's own default is a day."""
    address = f"127.0.0.1:{system.engine_port}"
    ask = (temporal_binary(), "operator", "namespace", "update", "--address", address)
    if await system.run(*ask, "--retention", RETENTION, "default"):
        raise StartFailed("the Temporal server does not take the retention; see engine.log")


async def start_mail(system: System) -> None:
    """A mail server that keeps what it is given in the data folder (`make mail`), unless there is a real one."""
    if "CASELOOM_SMTP_URL" not in os.environ:
        await system.start("mail", sys.executable, "-m", "deploy.mail_catcher", str(system.mail_port))


async def bring_up_to_date(system: System, settings: Settings) -> None:
    """Migrate the database, and begin anew the cases that runs of an older release hold."""
    from deploy import upgrade
    from infra import database, migrate, temporal

    await migrate.upgrade(settings.database)
    address = f"127.0.0.1:{system.engine_port}"
    client = await temporal.connect(settings.model_copy(update={"temporal_address": address}))
    engine = database.blocking(settings.database)
    try:
        await asyncio.to_thread(upgrade.name_old_people, engine, settings)
        anew = await asyncio.to_thread(upgrade.encrypt_old_timelines, engine, settings)
        await upgrade.renew(client, engine, settings, anew)
    finally:
        engine.dispose()


async def start_parts(system: System, settings: Settings) -> None:
    """Bring what an older release left to this one, start the worker and the API, and wait until all is well."""
    await start_mail(system)
    await bring_up_to_date(system, settings)
    metrics = f"127.0.0.1:{system.metrics_port}"
    await system.start("worker", sys.executable, "worker.py", CASELOOM_METRICS_ADDRESS=metrics)
    uvicorn = (
        sys.executable,
        "-m",
        "uvicorn",
        "desk.app:app",
        "--host",
        "127.0.0.1",
        "--no-access-log",
        *PATIENCE,
    )
    await system.start("api", *uvicorn, "--port", str(system.port), CASELOOM_LOCAL_SIGN_IN=local_sign_in())
    await system.start("listener", sys.executable, "listener.py")
    await keep_history(system)
    async with asyncio.timeout(WAIT_SECONDS):
        while not await asyncio.to_thread(_well, system.port):
            system.check()
            await asyncio.sleep(0.1)


def local_sign_in() -> str:
    """Whether people choose who they are: yes on this machine, unless it is off; never with a provider."""
    return os.environ.get("CASELOOM_LOCAL_SIGN_IN", "1")


def _well(port: int) -> bool:
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        asking.request("GET", "/healthz")
        return asking.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asking.close()


async def populate(system: System, settings: Settings) -> None:
    """Open the demo's cases. Without them the system runs as well, and is not stopped for their sake."""
    from deploy import population

    with console.status("Looking after the demo population …"):
        try:
            await population.ensure(system.address, settings)
        except OSError as fault:
            _warn(f"{fault}; `make down` and `make up` try it again")


def say(system: System, settings: Settings, new: bool) -> None:
    """What somebody needs who has just started it: the address, how to sign in, and what to try."""
    console.print(
        f"\n[bold]Caseloom is up:[/] {system.address}   open it in a browser   (API: {system.address}/docs)"
    )
    console.print(
        f"Temporal UI: http://127.0.0.1:{system.ui_port}   worker metrics: :{system.metrics_port}/metrics"
    )
    if new and sys.stderr.isatty():
        show_tokens(settings)
    console.print("\nTry:")
    whose = f"DATA_DIR={system.data_dir} ROLE=case-manager SUBJECT=cm-anna TEAM=north"
    console.out(f"  export TOKEN=$(make -s token {whose})", highlight=False)
    for path in ("worklist", "escalations", "caseload", "cases?overdue=true"):
        console.out(f"  curl -H \"Authorization: Bearer $TOKEN\" '{system.address}/{path}'", highlight=False)
    console.out("  make demo                      # in another terminal: a missed follow-up climbs by itself")
    console.print(f"\nData and logs: {system.data_dir}")
    console.print(f"HL7 v2 (MLLP) is taken here: {system.environment['CASELOOM_FEEDS']}")
    console.print("Mail that leaves the house is kept there: `make mail` shows it")
    console.print("Ctrl-C or `make down` stops everything; `make up` finds it again.\n")


def show_tokens(settings: Settings) -> None:
    """Tokens to begin with. They open every case of the team, so they are shown once, and to a person only: not
    again at each start, and not into the log of whatever started it."""
    from deploy import population
    from domain.values import Role
    from infra import tokens

    people = (
        ("case manager", "cm-anna", Role.CASE_MANAGER),
        ("supervisor", "sup-1", Role.SUPERVISOR),
        ("integrator", "ehr-1", Role.INTEGRATOR),
    )
    console.print("\nTokens for twelve hours, shown this once (`make token` makes more):")
    for title, subject, role in people:
        token = tokens.issue(settings, subject, role, population.TEAMS_OF.get(subject, ()))
        console.print(f"  [bold]{title}[/] ({subject}):")
        console.out(f"  {token}", highlight=False)


def refuse_if_running(lock: TextIO, system: System) -> None:
    """Raises `StartFailed` when this data folder has a system already, or somebody else has the port.

    The parts hold the folder's lock as well: one that outlived its `make up` is noticed too.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = pids.named(pids.ours(system.data_dir)) or "nobody wrote down which processes"
        raise StartFailed(
            f"a system runs on {system.data_dir} already ({who}); end it with `make down`, or set DATA_DIR"
        ) from None
    system.lock = lock.fileno()
    if answers(system.port):
        raise StartFailed(f"port {system.port} is taken; set PORT to another one")


async def main() -> int:
    settings = Settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    port = os.environ.get("PORT", "8000")
    if not port.isdigit() or not 0 < int(port) < 65536:
        console.print(f"[red]PORT takes a number up to 65535, not {port}[/]")
        return 1
    system = System(settings.data_dir.absolute(), int(port))
    new = not (system.data_dir / "signing-key.pem").exists()
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with AsyncExitStack() as stack:
        try:
            lock = stack.enter_context((system.data_dir / "lock").open("w"))
            refuse_if_running(lock, system)
            pids.forget(system.data_dir)  # what a killed one wrote down must not be taken for this one
            stack.callback(pids.forget, system.data_dir)
            stack.push_async_callback(system.stop)
            with console.status("Starting the Temporal server …"):
                await start_engine(system)
            with console.status("Starting the record, the worker and the API …"):
                await start_parts(system, settings)
            await populate(system, settings)
        except SQLAlchemyError as fault:
            says = f"the record does not answer, or somebody holds it ({type(fault).__name__}); try again"
            console.print(f"[red]Could not start:[/] {says}", soft_wrap=True)
            return 1
        except (StartFailed, TimeoutError, OSError) as fault:
            console.print(f"[red]Could not start:[/] {fault or 'a part did not answer in time'}", soft_wrap=True)
            return 1
        system.up = True
        system.write_down()
        say(system, settings, new)
        return await _watch(system, stop)


async def _watch(system: System, stop: asyncio.Event) -> int:
    """Wait for Ctrl-C, and start again what ends meanwhile."""
    keeping = [asyncio.create_task(system.keep_up(name, _warn)) for name in system.children]
    await stop.wait()
    for task in keeping:
        task.cancel()
    await asyncio.gather(*keeping, return_exceptions=True)
    console.print("Stopping …")
    return 0


def _warn(said: str) -> None:
    console.print(said, style="yellow", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
