"""Takes HL7 v2 messages over MLLP: a port for each feed, stored before it is answered, worked off in order.

A process of its own, so that a restart of a worker or of the API cuts no hospital's connection. `CASELOOM_FEEDS`
says which feeds of `catalog/feeds` listen where (`demo-hospital:2575`). Without TLS it listens on loopback only.
"""

import asyncio
import contextlib
import ipaddress
import signal
import socket
import ssl
import sys
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from api.app import connect
from api.inbound_work import NotYet, Placed, work_off, write_down
from api.problems import Refusal
from api.system import System
from domain.programs.feed import Feed
from exchange import hl7_message
from exchange.hl7_answer import Code, answer, wants_none
from exchange.hl7_meaning import Because, fit, meaning, patient_of, sent_at, visit_of
from infra import catalog, database, logs, profile
from infra.inbound import Inbox, Received
from infra.inbound_tables import InboundRow
from infra.settings import Settings

log = structlog.get_logger()
BEGIN, END = b"\x0b", b"\x1c\r"
LONGEST, MOST_CONNECTIONS = 4 * 1024 * 1024, 16
BLOCK_SECONDS = 60.0  # from the first byte of a message to its last
AT_ONCE, BATCH = 8, 500
IDLE_SECONDS, AWAY_SECONDS = 1.0, 2.0
AHEAD = timedelta(minutes=5)  # a sender's clock may be before ours; one that is years before would hold for ever
KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))


class FeedsWrong(ValueError):
    """`CASELOOM_FEEDS`, or how it should listen, cannot be used; the text says what to do."""


def ports_of(settings: Settings) -> dict[str, int]:
    """Which feed listens where. Raises `FeedsWrong`."""
    known, found = catalog.feeds(), dict[str, int]()
    for word in filter(None, map(str.strip, settings.feeds.split(","))):
        name, _, port = word.partition(":")
        if name not in known:
            raise FeedsWrong(f"CASELOOM_FEEDS: there is no feed {name}; there are: {', '.join(sorted(known))}")
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise FeedsWrong(f"CASELOOM_FEEDS: give each feed its port, such as {name}:2575")
        found[name] = int(port)
    return found


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """How the sender is met: by TLS, with its certificate where one is asked for. Raises `FeedsWrong`."""
    try:
        loopback = ipaddress.ip_address(settings.hl7_host).is_loopback
    except ValueError:
        raise FeedsWrong("CASELOOM_HL7_HOST: give an address of this machine, such as 127.0.0.1") from None
    if not settings.hl7_certificate:
        if not loopback:
            raise FeedsWrong("CASELOOM_HL7_CERTIFICATE: beyond loopback a feed is taken over TLS only")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.hl7_certificate, settings.hl7_key or None)
        if settings.hl7_clients:
            context.load_verify_locations(settings.hl7_clients)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as fault:
        raise FeedsWrong(f"CASELOOM_HL7_CERTIFICATE, _KEY, _CLIENTS: cannot be read ({fault})") from None
    return context


class Door:
    """Where one feed's messages come in. `rung` is set whenever something new is kept."""

    def __init__(self, feed: Feed, inbox: Inbox, rung: asyncio.Event) -> None:
        self._feed, self._inbox, self._rung = feed, inbox, rung
        self._connections = 0

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one message after another until the sender goes, or something is wrong with the connection."""
        self._connections += 1
        try:
            _keep_alive(writer)
            if self._connections > MOST_CONNECTIONS:
                log.warning("too_many_connections", feed=self._feed.name)
            else:
                while (block := await _block(reader)) is not None:
                    said = await self._take(block)
                    if said:
                        writer.write(BEGIN + said + END)
                        await writer.drain()
        except asyncio.LimitOverrunError:
            log.warning("message_too_long", feed=self._feed.name, limit=LONGEST)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as fault:
            log.info("connection_ended", feed=self._feed.name, fault=type(fault).__name__)
        except SQLAlchemyError as fault:  # not answered: the sender keeps its message, and its order
            log.warning("not_stored", feed=self._feed.name, fault=type(fault).__name__)
        finally:
            self._connections -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _take(self, raw: bytes) -> bytes:
        """Keep a message and say so."""
        now, message, says = datetime.now(UTC), None, ""
        verdict: Code = "AA"
        try:
            message = hl7_message.read(raw, self._feed.charset)
            verdict, says = fit(message, self._feed)
            if verdict == "AA":
                meaning(message, self._feed)
        except hl7_message.Unreadable as fault:
            verdict, says = ("AR" if message is None else "AE"), str(fault)
        except ValueError:  # its text could quote the message
            verdict, says = "AE", "a value in it is not of the right form"
        received = Received(raw, now, now, "unreadable", "", "", verdict)
        if message is not None:
            sent = sent_at(message, ZoneInfo(self._feed.zone)) or now
            number, visit = patient_of(message, self._feed), visit_of(message)
            event = message.named or "unreadable"
            received = Received(raw, now, min(sent, now + AHEAD), event, number, visit, verdict)
        await self._inbox.keep(received)
        self._rung.set()
        guessed = message is not None and message.guessed  # the sender does not say, or says wrongly
        log.info("inbound", feed=self._feed.name, message=received.event, answer=verdict, charset_guessed=guessed)
        if message is not None and wants_none(message, verdict):
            return b""
        return answer(message, verdict, now, uuid.uuid4().hex[:20], says)


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Notice within two minutes that a sender is gone which has not said so: its place is another's."""
    found: socket.socket | None = writer.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEP_ALIVE:
            found.setsockopt(socket.IPPROTO_TCP, option, value)


async def _block(reader: asyncio.StreamReader) -> bytes | None:
    """The next message without its frame, and without what stands before that. None when the sender goes."""
    while (first := await reader.read(1)).isspace():  # some end a frame with a line feed as well
        pass
    if not first:
        return None
    async with asyncio.timeout(BLOCK_SECONDS):
        block = first + await reader.readuntil(END)
    return block[block.rfind(BEGIN) + 1 : -len(END)]  # before the last beginning stands what was cut off


class Bench:
    """Works off what is kept: one message of a patient after another, several patients at once."""

    def __init__(self, parts: System, feeds: dict[str, Feed], rung: asyncio.Event) -> None:
        self._parts, self._feeds, self._rung = parts, feeds, rung
        self._hands = asyncio.Semaphore(AT_ONCE)

    async def work(self) -> None:
        """For ever. What has to wait for the record or the engine is tried again in a moment."""
        while True:
            self._rung.clear()
            try:
                rows = await self._waiting()
                well = all(await asyncio.gather(*(self._lane(lane) for lane in _lanes(rows))))
            except Exception as fault:  # whatever it is: a door that says AA needs somebody at the bench
                log.warning("bench_waits", fault=type(fault).__name__)
                rows, well = [], False
            if not well:
                await asyncio.sleep(AWAY_SECONDS)
            elif not rows:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._rung.wait(), IDLE_SECONDS)

    async def _waiting(self) -> list[InboundRow]:
        query = select(InboundRow).where(
            col(InboundRow.state) == "waiting", col(InboundRow.feed).in_(list(self._feeds))
        )
        async with self._parts.session() as session:
            return list((await session.exec(query.order_by(col(InboundRow.n)).limit(BATCH))).all())

    async def _lane(self, rows: list[InboundRow]) -> bool:
        """Whether all of it could be worked off; behind one that has to wait the others wait too."""
        async with self._hands:
            for row in rows:
                try:
                    await work_off(self._parts, self._feeds[row.feed], row)
                except (NotYet, Refusal, SQLAlchemyError, OSError) as fault:
                    log.warning("inbound_waits", feed=row.feed, message=row.event, fault=type(fault).__name__)
                    return False
                except Exception as fault:  # one message that meets a fault of ours keeps no other from its case
                    log.error("inbound_fault", feed=row.feed, message=row.event, fault=type(fault).__name__)
                    await write_down(self._parts, row, Placed("open", Because.FAULT))
        return True


def _lanes(rows: Iterable[InboundRow]) -> list[list[InboundRow]]:
    lanes: defaultdict[str, list[InboundRow]] = defaultdict(list)
    for row in rows:
        lanes[row.lane].append(row)
    return list(lanes.values())


@asynccontextmanager
async def listening(parts: System, settings: Settings, ports: dict[str, int]) -> AsyncIterator[None]:
    """Doors open and somebody at the bench, until it ends."""
    feeds = {name: feed for name, feed in catalog.feeds().items() if name in ports}
    rung, tls = asyncio.Event(), tls_of(settings)
    writing = database.blocking(parts.engine.url)
    async with AsyncExitStack() as stack:
        stack.callback(writing.dispose)
        for name, port in ports.items():
            inbox = Inbox(writing, parts.keys, parts.index_key, feeds[name])
            stack.push_async_callback(asyncio.to_thread, inbox.close)
            door = Door(feeds[name], inbox, rung)
            await stack.enter_async_context(
                await asyncio.start_server(door.meet, settings.hl7_host, port, ssl=tls, limit=LONGEST)
            )
            log.info("feed_listens", feed=name, port=port, tls=tls is not None)
        bench = asyncio.create_task(Bench(parts, feeds, rung).work())
        try:
            yield
        finally:
            bench.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await bench


async def main() -> int:
    """Run until told to stop. Refuses to start with feeds that nobody could listen to."""
    settings = Settings()
    logs.configure(settings.log_format)
    profile.require_safe(settings)
    try:
        ports = ports_of(settings)
        tls_of(settings)
    except (FeedsWrong, catalog.CatalogError) as fault:
        log.critical("feeds_refused", faults=str(fault).split("\n"))
        return 1
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.set_default_executor(database.threads())
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    parts = await connect(settings)
    async with listening(parts, settings, ports):
        await stop.wait()
    await parts.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
