"""A wire with a switch: TCP from a port to a server, with whatever a network does to it."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

CHUNK = 65_536


def _nobody(port: int) -> bool:
    return False


class Way:
    """One direction of a wire. Nothing is lost while it is closed: it comes late, as TCP sends it again."""

    def __init__(self) -> None:
        self.delay = 0.0
        """Seconds that everything takes."""
        self._open = asyncio.Event()
        self._open.set()

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: "Wire", port: int
    ) -> None:
        while data := await reader.read(CHUNK):
            if self is wire.there:
                wire.look_at(data, port)
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._open.wait()
            if wire.is_torn_now():
                return
            writer.write(data)
            await writer.drain()


class Wire:
    """From the port of one caller to the server: it can be slow, silent, deaf, torn, or not there."""

    def __init__(self, chance: random.Random) -> None:
        self.there, self.back = Way(), Way()
        self.port = 0
        self.target = 0
        """The port of the server; it may change at any time, for connections to come."""
        self.tear_chance = 0.0
        self._chance = chance
        self._is_cut = False
        self._watched: tuple[bytes, Callable[[int], None]] | None = None
        self._is_refused: Callable[[int], bool] = _nobody
        self._writers: dict[asyncio.StreamWriter, int] = {}
        """Both ends of each connection, by the port of the caller."""

    def heal(self) -> None:
        """As new. What was held up is delivered."""
        self._is_cut, self.tear_chance, self._watched, self._is_refused = False, 0.0, None, _nobody
        for way in (self.there, self.back):
            way.delay = 0.0
            way.open()

    def slow(self, seconds: float) -> None:
        """Each direction takes half of it."""
        self.there.delay = self.back.delay = seconds / 2

    def tear(self) -> None:
        """Every connection is reset; the next may be made."""
        for writer in self._writers:
            writer.transport.abort()

    def cut(self) -> None:
        """Every connection is reset, and so is who comes."""
        self._is_cut = True
        self.tear()

    def refuse(self, is_refused: Callable[[int], bool]) -> None:
        """Cut for some, by the port that they come from."""
        self._is_refused = is_refused
        for writer, port in self._writers.items():
            if is_refused(port):
                writer.transport.abort()

    def swallow(self) -> None:
        """Connections stay and come about, and nothing arrives: no reset, no end."""
        self.there.close()
        self.back.close()

    def deafen(self) -> None:
        """Half open: questions arrive and are acted upon, answers do not come back."""
        self.back.close()

    def watch(self, needle: bytes, act: Callable[[int], None]) -> None:
        """When this is next said to the server, `act` is told the port of who said it, before it is passed on. Once."""
        self._watched = (needle, act)

    def unwatch(self) -> None:
        self._watched = None

    def look_at(self, data: bytes, port: int) -> None:
        if self._watched is not None and self._watched[0] in data:
            act, self._watched = self._watched[1], None
            act(port)

    def is_torn_now(self) -> bool:
        return bool(self.tear_chance) and self._chance.random() < self.tear_chance

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its last."""
        port = writer.get_extra_info("peername")[1]
        if self._is_cut or self._is_refused(port):
            writer.transport.abort()
            return
        ends = [writer]
        self._writers[writer] = port
        try:
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self.target)
            ends.append(their_writer)
            self._writers[their_writer] = port
            ways = [
                asyncio.create_task(self.there.pass_on(reader, their_writer, self, port)),
                asyncio.create_task(self.back.pass_on(their_reader, writer, self, port)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # the server is not there: the caller is reset
        finally:
            for end in ends:
                self._writers.pop(end, None)
                end.transport.abort()


@asynccontextmanager
async def wire_to(target: int, chance: random.Random) -> AsyncIterator[Wire]:
    """A wire on a port of its own. When the block is left, nothing of it is."""
    wire = Wire(chance)
    wire.target = target
    under_way: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(wire.connect(reader, writer))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        for task in (pending := list(under_way)):
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 1)
