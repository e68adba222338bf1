"""What the management listener answers, without processes around it (HLT-01..05)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from multiprocessing import Pipe
from pathlib import Path

import httpx2
import pytest

from authsvc import management
from authsvc.management import Answers, Readiness, Status
from authsvc.settings import Settings

SETTINGS = Settings(issuer="http://localhost", database_url="postgresql://localhost/none", master_key="none")
READY = Status(live=2, ready=2)


class Stores:
    """What a readiness probe asks, as the test wants it."""

    def __init__(self) -> None:
        self.asked = 0
        self.opened = 0
        self.closed = 0
        self.ask: Callable[[], Awaitable[Sequence[str]]] = self.fine
        self.refuses_to_open = False

    async def fine(self) -> Sequence[str]:
        return []

    @asynccontextmanager
    async def open(self, _: Settings) -> AsyncIterator[Callable[[], Awaitable[Sequence[str]]]]:
        self.opened += 1
        if self.refuses_to_open:
            raise OSError("nobody there")

        async def faults() -> Sequence[str]:
            self.asked += 1
            return await self.ask()

        try:
            yield faults
        finally:
            self.closed += 1


@pytest.fixture
def stores() -> Stores:
    return Stores()


@asynccontextmanager
async def listening(stores: Stores, status: Status, directory: Path) -> AsyncIterator[httpx2.AsyncClient]:
    readiness = Readiness()
    answers = Answers(readiness, str(directory))
    theirs, ours = Pipe(duplex=False)
    answers.hear(theirs)
    ours.send(status)
    holding = asyncio.create_task(readiness.hold(stores.open, SETTINGS))
    transport = httpx2.ASGITransport(app=answers.app())
    async with httpx2.AsyncClient(transport=transport, base_url="http://management") as client:
        while not stores.opened:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        yield client
    holding.cancel()
    await asyncio.wait({holding})
    asyncio.get_running_loop().remove_reader(theirs.fileno())
    theirs.close()
    ours.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no outage: what is not about time has as much of it as it wants."""
    monkeypatch.setattr(management, "PATIENCE_S", 30.0)


async def test_ready_when_nothing_is_in_the_way(stores: Stores, tmp_path: Path) -> None:
    async with listening(stores, READY, tmp_path) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    assert stores.closed == 1


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (Status(live=2, ready=0), "no worker is ready"),
        (Status(), "no worker is ready"),
        (Status(live=2, ready=2, draining=True), "draining"),
    ],
)
async def test_not_ready_for_what_the_supervisor_tells(
    stores: Stores, tmp_path: Path, status: Status, fault: str
) -> None:
    async with listening(stores, status, tmp_path) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "faults": [fault]})


async def test_livez_knows_nothing_of_stores(stores: Stores, tmp_path: Path) -> None:
    async def broken() -> Sequence[str]:
        raise OSError("away")

    stores.ask = broken
    async with listening(stores, Status(live=1), tmp_path) as client:
        for path in ("/livez", "/healthz"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()) == (200, {"status": "live"})
    async with listening(stores, Status(live=0, ready=0), tmp_path) as client:
        answer = await client.get("/livez")
        assert (answer.status_code, answer.json()) == (503, {"status": "not live"})


async def test_the_faults_of_the_probe_are_told_and_its_own_words_are_not(stores: Stores, tmp_path: Path) -> None:
    async def faulty() -> Sequence[str]:
        return ["there is no signing key yet"]

    async def raising() -> Sequence[str]:
        raise ValueError("canary")

    stores.ask = faulty
    async with listening(stores, READY, tmp_path) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["faults"]) == (503, ["there is no signing key yet"])
    stores.ask = raising
    async with listening(stores, READY, tmp_path) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["faults"]) == (503, ["the readiness probe fails"])


async def test_many_questions_are_one_question_to_the_stores(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(management, "KEEP_S", 0.2)
    async with listening(stores, READY, tmp_path) as client:
        await asyncio.gather(*(client.get("/readyz") for _ in range(50)))
        assert stores.asked == 1
        await asyncio.sleep(0.25)
        await client.get("/readyz")
        assert stores.asked == 2


async def test_hanging_stores_make_it_not_ready_and_not_slow(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = asyncio.Event()

    async def deaf() -> Sequence[str]:
        """As a driver that does not give up when it is told to."""
        while not let_go.is_set():
            with suppress(asyncio.CancelledError):
                await let_go.wait()
        return []

    monkeypatch.setattr(management, "PATIENCE_S", 0.2)
    monkeypatch.setattr(management, "KEEP_S", 0.1)
    stores.ask = deaf
    async with listening(stores, READY, tmp_path) as client:
        for _ in range(5):
            begun = time.monotonic()
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()["faults"]) == (503, ["the stores do not answer in time"])
            assert time.monotonic() - begun < 20
            assert (await client.get("/livez")).status_code == 200
        assert stores.asked == 1, "nobody asks a second time while the first question hangs"
        let_go.set()
        await asyncio.sleep(0.15)
        assert (await client.get("/readyz")).status_code == 200


async def test_a_probe_that_cannot_be_opened_is_tried_again(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(management, "REOPEN_S", 0.02)
    stores.refuses_to_open = True
    async with listening(stores, READY, tmp_path) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["faults"]) == (503, ["the stores have not been asked yet"])
        stores.refuses_to_open = False
        await asyncio.sleep(0.1)
        assert (await client.get("/readyz")).status_code == 200


async def test_it_answers_these_paths_and_methods_alone(stores: Stores, tmp_path: Path) -> None:
    async with listening(stores, READY, tmp_path) as client:
        metrics = await client.get("/metrics")
        assert metrics.status_code == 200
        assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        for path in ("/", "/metrics/", "/livez/x", "/oauth2/token"):
            assert (await client.get(path)).status_code == 404
        for path in ("/metrics", "/livez", "/readyz"):
            answer = await client.post(path)
            assert answer.status_code == 405
            assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
