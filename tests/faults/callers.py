"""Clients and users of a stage: they act, they write down what they were told, and they try again as they should."""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.faults.history import History, Other, Reading, Token, Told
from tests.faults.line import Line, Lost, get, post
from tests.faults.stage import Node, Stage
from tests.flows.workers import claims_of, kid_of

TRIES = 5
TRY_AGAIN_SECONDS = 0.25
LINES_AT_ONCE = 3
"""To each node, on which a token is asked about that dies or has died."""
LOOKS = 4
JUST_NOW = 16
"""Revocations that are looked at most."""
LIVE, DEAD = 400, 400
"""How many tokens are kept at hand."""
JSON = {"Content-Type": "application/json"}


@dataclass(slots=True)
class User:
    email: str
    password: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class Session:
    user: User
    token: Token
    refresh_token: str


class _Introspection(msgspec.Struct):
    active: bool


_read = msgspec.json.Decoder(_Introspection).decode


@dataclass(frozen=True)
class Clients:
    """Of one stage."""

    owners: list[tuple[str, str]]
    """Id and secret of those that mint and revoke."""
    watcher: dict[str, str]
    """The headers of the one that introspects."""


@dataclass
class World:
    """Everybody who calls, and what they have."""

    stage: Stage
    chance: random.Random
    clients: Clients
    history: History = field(default_factory=History)
    tokens: deque[Token] = field(default_factory=lambda: deque(maxlen=LIVE))
    dead: deque[Token] = field(default_factory=lambda: deque(maxlen=DEAD))
    all_tokens: list[Token] = field(default_factory=list)
    sessions: deque[Session] = field(default_factory=lambda: deque(maxlen=60))
    users: list[User] = field(default_factory=list)
    lines: dict[str, asyncio.LifoQueue[Line]] = field(default_factory=dict)

    # --- Calls

    @asynccontextmanager
    async def line(self, node: Node) -> AsyncIterator[Line]:
        """Any of the free ones: half of the time not the one that was used last. Another where none is free: some keep
        theirs until somebody else has called, who must not have to wait for one."""
        queue = self.lines[node.name]
        line = Line(node.name, node.port) if queue.empty() else queue.get_nowait()
        if not queue.empty() and self.chance.random() < 0.5:
            other = queue.get_nowait()
            queue.put_nowait(line)
            line = other
        try:
            yield line
        finally:
            queue.put_nowait(line)

    async def call(
        self, node: Node, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[float, float, int, bytes]:
        """When it began and ended, and the answer; status 0 when there was none."""
        async with self.line(node) as line:
            begin = time.monotonic()
            try:
                status, answer = await line.ask(get(path, headers) if body is None else post(path, body, headers))
            except Lost:
                status, answer = 0, b""
            return begin, time.monotonic(), status, answer

    def some_node(self) -> Node:
        return self.chance.choice(self.stage.nodes)

    def other(self, what: str, node: Node, begin: float, end: float, told: Told, detail: str = "") -> None:
        self.history.others.append(Other(begin, end, node.name, what, told, detail))

    async def ask(
        self, what: str, path: str, body: bytes, headers: dict[str, str], expected: Sequence[int]
    ) -> tuple[float, float, bytes] | None:
        """An answer with an expected status, or None. Any other status but 503 is written down as a fault."""
        node = self.some_node()
        begin, end, status, answer = await self.call(node, path, body, headers)
        told = told_of(status, expected)
        self.other(what, node, begin, end, told, f"{status} {answer[:200]!r}")
        return (begin, end, answer) if told is Told.DONE and status == expected[0] else None

    # --- Tokens

    def keep(self, text: str, asked: float, given: float) -> Token:
        token = token_of(text, asked, given)
        self.all_tokens.append(token)
        self.tokens.append(token)
        return token

    def bury(self, mark: str) -> list[Token]:
        """Those at hand that the mark kills: from now on they are asked about as dead ones."""
        killed = [token for token in self.tokens if mark in token.marks]
        for token in killed:
            self.tokens.remove(token)
        for session in [each for each in self.sessions if mark in each.token.marks]:
            self.sessions.remove(session)
        self.dead.extend(killed)
        return killed

    async def introspect(self, tokens: Iterable[Token], node: Node) -> None:
        """One after the other, on one line."""
        async with self.line(node) as line:
            for token in tokens:
                await self.introspect_on(line, token)

    async def introspect_on(self, line: Line, token: Token) -> None:
        request = post("/oauth2/introspect", b"token=" + token.text.encode(), self.clients.watcher)
        begin = time.monotonic()
        try:
            status, answer = await line.ask(request)
        except Lost:
            status, answer = 0, b""
        end = time.monotonic()
        told = told_of(status, (200,))
        if told is Told.DONE:
            told = Told.ACTIVE if _read(answer).active else Told.INACTIVE
        self.history.readings.append(Reading(begin, end, line.node, token, told))

    async def look_closely(self, tokens: Sequence[Token]) -> None:
        """Again and again, on both nodes, on several lines of each."""
        some = self.chance.sample(tokens, min(3, len(tokens))) * LOOKS
        await asyncio.gather(*(self.introspect(some, node) for node in self.stage.nodes for _ in range(LINES_AT_ONCE)))

    async def look_back(self) -> None:
        """At what died last: of what a store has lost, that is what nobody else gives back to it at once."""
        last = list(self.dead)[-JUST_NOW:]
        await asyncio.gather(
            *(
                self.introspect(last[at::LINES_AT_ONCE], node)
                for at in range(LINES_AT_ONCE)
                for node in self.stage.nodes
            )
        )

    # --- Revocations

    async def revoke(
        self,
        mark: str,
        what: str,
        path: str,
        body: bytes,
        headers: dict[str, str],
        done: int,
        shown: Token | None = None,
    ) -> bytes | None:
        """Until it is acknowledged, at another node each time. `shown`: the token that the call itself goes by."""
        nodes = self.chance.sample(self.stage.nodes, len(self.stage.nodes))
        for attempt in range(TRIES):
            node = nodes[attempt % len(nodes)]
            number = self.history.begin_revoking(mark, time.monotonic())
            _, end, status, answer = await self.call(node, path, body, headers)
            begin = self.history.under_way[number][0]
            told = Told.INACTIVE if shown is not None and status == 401 else told_of(status, (done,))
            if shown is not None and told in (Told.INACTIVE, Told.DONE):
                seen = Told.ACTIVE if told is Told.DONE else Told.INACTIVE
                self.history.readings.append(Reading(begin, end, node.name, shown, seen, what))
            if told is Told.INACTIVE:  # somebody else was faster, or an earlier try has been: nothing was done
                del self.history.under_way[number]
                return None
            self.history.end_revoking(number, end, node.name, told, what)
            if told is Told.WRONG:
                self.other(what, node, begin, end, told, f"{status} {answer[:200]!r}")
                return None
            if told is Told.DONE:
                killed = self.bury(mark)
                if killed and self.chance.random() < 0.6:
                    await self.look_closely(killed)
                return answer
            await asyncio.sleep(TRY_AGAIN_SECONDS)
        self.bury(mark)
        return None

    async def operate(self, mark: str, *arguments: str) -> None:
        """A revocation by command line."""
        node = self.some_node()
        number = self.history.begin_revoking(mark, time.monotonic())
        status, _ = await self.stage.cli(node, *arguments)
        told = Told.DONE if status == 0 else Told.UNAVAILABLE
        self.history.end_revoking(number, time.monotonic(), node.name, told, " ".join(arguments[:2]))
        killed = self.bury(mark)
        if killed:
            await self.look_closely(killed)


def token_of(text: str, asked: float, given: float) -> Token:
    claims = claims_of(text)
    generations = claims["gen"]
    numbers = {f"c:{claims['client_id']}": generations["c"], "*": generations["g"]}
    if "u" in generations:
        numbers[f"u:{claims['sub']}"] = generations["u"]
    presences = [f"j:{claims['jti']}", f"k:{kid_of(text)}"]
    presences += [f"{kind}:{claims[name]}" for kind, name in (("f", "grant_id"), ("s", "sid")) if name in claims]
    return Token(text, (*presences, *numbers), numbers, asked, given)


def told_of(status: int, expected: Sequence[int]) -> Told:
    if status == 0:
        return Told.LOST
    if status == 503:
        return Told.UNAVAILABLE
    return Told.DONE if status in expected else Told.WRONG


def json_of(answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(answer)
    return found


def hang_up(world: World) -> None:
    for queue in world.lines.values():
        while not queue.empty():
            queue.get_nowait().close()
