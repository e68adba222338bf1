"""One rule in three places: the rule itself, a process's own count, and the scripts that Redis runs."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from authsvc.caches import attempts
from authsvc.caches.attempts import SharedAttempts
from authsvc.caches.redis import Cache
from authsvc.flows import local_attempts
from authsvc.flows.local_attempts import LocalAttempts
from authsvc.metrics import Metrics
from authsvc.models import Budget, Limiter, Refusal
from authsvc.protocol.limits import SECOND, Limit, budget_of, spend
from tests.house_of import FakeClock

# Hours, for Redis forgets by its own clock: none of these ends while a test runs.
BUDGETS = [
    budget_of(Limiter.LOGIN, Limit(2, 3_600), "ada", "here"),
    budget_of(Limiter.LOGIN_ACCOUNT, Limit(3, 7_200), "ada"),
    budget_of(Limiter.LOGIN_ADDRESS, Limit(7, 3_601), "here"),
]

some_budgets = st.lists(st.sampled_from(BUDGETS), min_size=1, unique=True)
pauses = st.one_of(st.just(0), st.integers(-7_200 * SECOND, 7_200 * SECOND))
steps = st.lists(st.tuples(pauses, some_budgets, st.one_of(st.none(), st.integers(0, 7_200 * SECOND))), max_size=25)
"""How long after the one before, on a clock that may be set back; of which budgets; what is given back, if anything."""


@dataclass
class Model:
    """The rule, as plainly as it can be said."""

    moments: dict[str, int] = field(default_factory=dict)

    def spend(self, budgets: Sequence[Budget], now: int) -> Refusal | None:
        told = [(budget, *spend(self.moments.get(budget.key, 0), now, budget)) for budget in budgets]
        budget, _, wait = max(told, key=lambda each: each[2])
        if wait:
            return budget, wait
        self.moments.update({budget.key: moment for budget, moment, _ in told})
        return None

    def give_back(self, budgets: Sequence[Budget], amount: int, now: int) -> None:
        for budget in budgets:
            if (moment := self.moments.pop(budget.key, 0) - amount) > now:
                self.moments[budget.key] = moment


@dataclass
class Scripts:
    """The scripts, told the time instead of asking for it."""

    server: "redis.Redis"

    def run(self, script: str, budgets: Sequence[Budget], arguments: list[int], now: int) -> list[bytes] | None:
        told = script.replace("redis.call('TIME')", "{0, table.remove(ARGV)}")
        assert told != script
        keys = [attempts.PREFIX + budget.key for budget in budgets]
        found: list[bytes] | None = self.server.eval(told, len(keys), *keys, *map(str, [*arguments, now]))
        return found

    def spend(self, budgets: Sequence[Budget], now: int) -> Refusal | None:
        sizes = [size for budget in budgets for size in (budget.interval, budget.whole)]
        found = self.run(attempts._SPEND, budgets, sizes, now)
        assert found is not None
        return (budgets[int(found[0]) - 1], int(found[1])) if int(found[0]) else None

    def give_back(self, budgets: Sequence[Budget], amount: int, now: int) -> None:
        self.run(attempts._GIVE_BACK, budgets, [amount] * len(budgets), now)

    def moments(self) -> dict[str, int]:
        keys: list[bytes] = self.server.keys(attempts.PREFIX + "*")  # type: ignore[assignment]
        return {key.decode().removeprefix(attempts.PREFIX): int(self.server.get(key) or 0) for key in keys}


@pytest.fixture
def server(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as server:
        yield server


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_redis_a_process_and_the_rule_agree_on_every_history(
    server: "redis.Redis", steps: list[tuple[int, list[Budget], int | None]]
) -> None:
    server.flushall()
    clock = FakeClock(elapsed=2.0**30)
    model, scripts, local = Model(), Scripts(server), LocalAttempts(clock)
    for pause, budgets, amount in steps:
        clock.advance(pause / SECOND)
        now = int(clock.monotonic() * SECOND)
        if amount is None:
            told = model.spend(budgets, now)
            assert scripts.spend(budgets, now) == told
            assert local.spend(budgets) == told
        else:
            model.give_back(budgets, amount, now)
            scripts.give_back(budgets, amount, now)
            local.give_back(budgets, [amount] * len(budgets))
        # What is whole again may be remembered or not: it is the same.
        expected = {key: moment for key, moment in model.moments.items() if moment > now}
        assert {key: moment for key, moment in scripts.moments().items() if moment > now} == expected
        held = {key: moment for moments in local._moments.values() for key, moment in moments.items()}
        assert {key: moment for key, moment in held.items() if moment > now} == expected


# --- In Redis


@pytest.fixture
async def shared(redis_url: str) -> AsyncIterator[SharedAttempts]:
    cache = Cache(redis_url, FakeClock(), Metrics(CollectorRegistry()))
    yield SharedAttempts(cache)
    await cache.close()


async def test_what_stands_in_redis_says_nothing_of_anybody_and_ends(
    shared: SharedAttempts, server: "redis.Redis"
) -> None:
    budget = budget_of(Limiter.LOGIN, Limit(10, 900), "ada@example.com", "192.0.2.1/32")
    for made in range(1, 11):
        assert await shared.spend([budget]) is None
        (key,) = server.keys("*")
        assert b"ada" not in key
        assert b"192" not in key
        life = server.pttl(key)
        assert made * 90_000 - 5_000 < life <= made * 90_000
    refusal = await shared.spend([budget])
    assert refusal is not None
    assert refusal[0] == budget
    assert 0 < refusal[1] <= 90 * SECOND


async def test_an_attempt_that_one_budget_refuses_is_counted_in_none(
    shared: SharedAttempts, server: "redis.Redis"
) -> None:
    small, large = budget_of(Limiter.LOGIN, Limit(1, 900), "x"), budget_of(Limiter.LOGIN_ADDRESS, Limit(5, 900), "x")
    assert await shared.spend([large, small]) is None
    before = server.get(attempts.PREFIX + large.key)
    for _ in range(10):
        refusal = await shared.spend([large, small])
        assert refusal is not None
        assert refusal[0] == small
    assert server.get(attempts.PREFIX + large.key) == before


async def test_a_budget_that_is_given_back_leaves_nothing(shared: SharedAttempts, server: "redis.Redis") -> None:
    budget = budget_of(Limiter.LOGIN, Limit(3, 900), "x")
    for _ in range(3):
        await shared.spend([budget])
    await shared.give_back([budget], [budget.interval])
    assert await shared.spend([budget]) is None
    assert await shared.spend([budget]) is not None
    await shared.give_back([budget], [budget.whole])
    assert server.keys("*") == []
    assert [await shared.spend([budget]) is None for _ in range(4)] == [True, True, True, False]


async def test_a_redis_that_forgot_the_scripts_is_told_them_again(
    shared: SharedAttempts, server: "redis.Redis"
) -> None:
    budget = budget_of(Limiter.LOGIN, Limit(3, 900), "x")
    for _ in range(3):
        server.script_flush()
        assert await shared.spend([budget]) is None
    assert await shared.spend([budget]) is not None


# --- In a process


def test_a_process_remembers_a_bounded_number_of_budgets_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_attempts, "CAPACITY", 10)
    local = LocalAttempts(FakeClock())
    once = Limit(1, 3_600)
    mine = budget_of(Limiter.CLIENT_AUTHENTICATION, once, "mine")
    other_kind = budget_of(Limiter.LOGIN, once, "mine")
    assert local.spend([mine]) is None
    assert local.spend([other_kind]) is None
    for number in range(500):
        local.spend([budget_of(Limiter.CLIENT_AUTHENTICATION, once, f"stranger {number}")])
        assert local.spend([mine]) is not None, "what is asked for is not forgotten"
    assert local.spend([other_kind]) is not None, "one kind is not forgotten for another"
    assert sum(map(len, local._moments.values())) == 11
