"""A small TCP proxy that can be cut: the network between two parts of a system."""

import asyncio
import contextlib
from typing import Self

from infra.loopback import free_port


class Proxy:
    """Forwards a port of its own to another one. `cut` drops what flows and refuses what comes."""

    def __init__(self, target: int) -> None:
        self.port, self.target, self.open = free_port(), target, True
        self._flows: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        assert self._server is not None
        self._server.close()

    def cut(self) -> None:
        self.open = False
        for flow in list(self._flows):
            flow.transport.abort()

    def mend(self) -> None:
        self.open = True

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._flows |= {writer, far_writer}
        await asyncio.gather(self._pour(reader, far_writer), self._pour(far_reader, writer))
        self._flows -= {writer, far_writer}

    async def _pour(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.transport.abort()
