"""ATK-102: every secret that a run of the tests is given, searched for in every place where none belongs.

Listens at the doors that all secrets pass: the signer, the minting of refresh tokens and client secrets, and what
services and commands in processes of their own answer. Listens to PostgreSQL, which logs every statement with its
values, to every command of Redis, to every log line, error body and scrape. The words of the search are those that open
doors: of a JWT its signature, of a refresh token its MAC.
"""

import json
import logging
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from authsvc.embedded import Stores, postgres
from authsvc.flows import clients, families
from authsvc.logs import JsonFormatter
from authsvc.protocol.jwt import Signer
from authsvc.protocol.refresh import PREFIX
from tests.house_of import PASSWORD
from tests.stores import run_sql

WORD = 24
"""Letters of a secret that are looked for: 144 bits. What is shorter is none of ours."""
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_APART = bytes(byte if byte in _LETTERS else ord(" ") for byte in range(256))
_HEX = re.compile(rb"(?:[0-9a-f]{2}){%d,}" % WORD)
_NAMES = ("access_token", "refresh_token", "client_secret")


def word_of(secret: str) -> str | None:
    """The part of it that nobody can guess, and that is found wherever the secret stands."""
    word = secret.removeprefix(PREFIX)[:WORD] if secret.startswith(PREFIX) else secret[-WORD:]
    return word if len(word) == WORD else None


class Overheard:
    def __init__(self) -> None:
        self.words: set[str] = set()
        self._places: list[tuple[str, str]] = []

    def secret(self, secret: str) -> None:
        if (word := word_of(secret)) is not None:
            self.words.add(word)

    def said(self, place: str, text: str) -> None:
        if len(text) >= WORD:
            self._places.append((place, text))

    def answered(self, answer: httpx2.Response) -> None:
        with suppress(httpx2.ResponseNotRead):
            if answer.status_code >= 400:
                self.said("error bodies", answer.text)
            elif "text/plain" in answer.headers.get("content-type", ""):
                self.said("metrics", answer.text)
            elif "json" in answer.headers.get("content-type", ""):
                self.told(answer.text)

    def told(self, text: str) -> None:
        """What somebody was told on purpose."""
        with suppress(ValueError):
            told = json.loads(text)
            if isinstance(told, dict):
                for name in _NAMES:
                    if isinstance(secret := told.get(name), str):
                        self.secret(secret)

    def found(self) -> "Counter[str]":
        """How many secrets stand where. The texts are forgotten: what a long run says is much."""
        places, self._places = self._places, []
        return Counter(place for place, text in places for _ in self.words_in(text))

    def words_in(self, text: str) -> Iterator[str]:
        for run in map(bytes.decode, _runs_of(text.encode("ascii", "replace"))):
            for at in range(len(run) - WORD + 1):
                if (word := run[at : at + WORD]) in self.words:
                    yield word


def _runs_of(text: bytes) -> set[bytes]:
    """All that are long enough, each once: most of what is said is said over and over."""
    runs = {run for run in text.translate(_APART).split() if len(run) >= WORD}
    for run in [*runs]:
        for digits in _HEX.findall(run):  # as PostgreSQL writes bytes
            runs |= _runs_of(bytes.fromhex(digits.decode()))
    return runs


class Ear(logging.Handler):
    """Hears every line as it would be written."""

    def __init__(self, heard: Overheard) -> None:
        super().__init__()
        self._heard = heard
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.said("logs", self.format(record))


def _listen_to(owner: Any, name: str, hear: Callable[[Any], None]) -> None:
    """Every result of that function."""
    original = getattr(owner, name)

    def heard(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        hear(result)
        return result

    setattr(owner, name, heard)


def _listen_to_coroutine(owner: Any, name: str, hear: Callable[[Any], None]) -> None:
    original = getattr(owner, name)

    async def heard(*args: Any, **kwargs: Any) -> Any:
        result = await original(*args, **kwargs)
        hear(result)
        return result

    setattr(owner, name, heard)


RUN = Overheard()
"""What this run has heard so far."""


def listen(heard: Overheard = RUN) -> None:
    """From now on, in this process."""
    heard.secret(PASSWORD)
    for owner, name in ((Signer, "sign"), (families, "build_refresh_token"), (clients, "mint_secret")):
        _listen_to(owner, name, heard.secret)
    _listen_to(httpx2.Client, "send", heard.answered)
    _listen_to_coroutine(httpx2.AsyncClient, "send", heard.answered)
    logging.getLogger().addHandler(Ear(heard))


@contextmanager
def listening_to(stores: Stores, heard: Overheard = RUN) -> Iterator[None]:
    """To what they are told from now on.

    Raises:
        AssertionError: at the end, if anything that was heard so far holds a secret.
    """
    run_sql(stores.database_url, "ALTER SYSTEM SET log_statement = 'all'")
    run_sql(stores.database_url, "SELECT pg_reload_conf()")
    log = Path(run_sql(stores.database_url, "SHOW data_directory")).parent / "logs" / postgres.LOG
    with _monitor(stores.redis_url, heard):
        yield
    heard.said("PostgreSQL", log.read_text(encoding="utf-8", errors="replace"))
    assert heard.found() == Counter()


@contextmanager
def _monitor(url: str, heard: Overheard) -> Iterator[None]:
    """Every command, as Redis tells it. Read as fast as it comes: what is not read counts as memory of the server."""
    told = bytearray()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(urlsplit(url).path)
        line.sendall(b"MONITOR\r\n")

        def listen_on() -> None:
            while piece := line.recv(1 << 20):
                told.extend(piece)

        thread = threading.Thread(target=listen_on, daemon=True)
        thread.start()
        yield
        line.sendall(b"QUIT\r\n")
        thread.join(30)
    assert b"+OK" in told, "nothing was heard of Redis"
    heard.said("Redis", told.decode("latin-1"))
