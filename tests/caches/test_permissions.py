"""What the page on revocation asks for is all that a user of Redis needs, and no more than that."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from prometheus_client import CollectorRegistry

from authsvc.caches.attempts import SharedAttempts
from authsvc.caches.redis import Cache
from authsvc.caches.revocations import PREFIX, RevocationCache
from authsvc.caches.server import describe_server
from authsvc.errors import CacheAway
from authsvc.metrics import Metrics
from authsvc.models import Limiter
from authsvc.protocol.limits import Limit, budget_of
from tests.caches.filled import MARKS, NONCE, US, be_patient, fill
from tests.house_of import FakeClock

PAGE = (Path(__file__).parents[2] / "docs/revocation.md").read_text(encoding="utf-8")
(SENTENCE,) = re.findall(r"A user needs.*?~authsvc:\S*`", PAGE, re.DOTALL)
PERMISSIONS = re.findall(r"\+[a-z|]+", SENTENCE)
(KEYS,) = re.findall(r"~authsvc:\S*(?=`)", SENTENCE)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


@contextmanager
def user_with(redis_url: str, permissions: list[str]) -> Iterator[str]:
    """The URL of who may do this and nothing else."""
    with redis.Redis.from_url(redis_url) as admin:
        admin.flushall()
        admin.function_flush()
        admin.script_flush()
        admin.execute_command("ACL", "SETUSER", "authsvc", "reset", "on", ">secret", KEYS, *permissions)
        try:
            yield f"{redis_url}?username=authsvc&password=secret"
        finally:
            admin.execute_command("ACL", "DELUSER", "authsvc")


async def does_everything(url: str, redis_url: str) -> bool:
    """All that the service ever asks of Redis, and whether it was done."""
    cache = Cache(url, FakeClock(), Metrics(CollectorRegistry()))
    marks, attempts = RevocationCache(cache), SharedAttempts(cache)
    budget = budget_of(Limiter.LOGIN, Limit(1, 60), "somebody")
    try:
        assert await marks.is_able()
        await fill(marks, us=US, nonce="earlier")
        await fill(marks)
        await marks.sweep(US, NONCE)
        assert await marks.get(US, "earlier", ["j:1"]) is None
        assert await marks.get(US, NONCE, MARKS) == MARKS
        assert await marks.put(US, NONCE, {"j:2": 1})
        await marks.forget(US, NONCE, {"j:2": 1})
        assert await marks.get(US, NONCE, ["j:2"]) == {}
        assert await attempts.spend([budget]) is None
        assert await attempts.spend([budget]) is not None
        await attempts.give_back([budget], [budget.whole])
        assert await attempts.spend([budget]) is None
        await describe_server(url, seconds=30)
        with redis.Redis.from_url(redis_url) as admin:
            assert not admin.keys(f"{PREFIX}{US}:earlier"), "it was swept away"
    except (AssertionError, CacheAway):
        return False
    finally:
        await cache.close()
    return True


async def test_who_has_them_can_do_everything(redis_url: str) -> None:
    with user_with(redis_url, PERMISSIONS) as url:
        assert await does_everything(url, redis_url)


@pytest.mark.parametrize("missing", PERMISSIONS)
async def test_none_of_them_is_asked_for_in_vain(redis_url: str, missing: str) -> None:
    with user_with(redis_url, [each for each in PERMISSIONS if each != missing]) as url:
        assert not await does_everything(url, redis_url)
