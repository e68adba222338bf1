"""The coalescer: one question for all who wait, and each of the rules that keep its answers true."""

import asyncio
import random
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.errors import Unavailable
from authsvc.flows.coalescer import MAX_WAITERS, TURNS, Coalescer, Found, Tell


class Store:
    """A store that answers when it is told to, and remembers what it was asked."""

    def __init__(self, *, in_flight: int = 2, timeout: float = 30.0) -> None:
        self.marks: dict[str, int] = {}
        self.batches: list[set[str]] = []
        self.sizes: list[int] = []
        self.gates: list[asyncio.Event] = []
        self.failures: dict[int, BaseException] = {}
        self.out = self.most_out = 0
        self.coalescer = Coalescer(self.ask, in_flight=in_flight, timeout=timeout, observe=self.sizes.append)

    async def ask(self, keys: Collection[str]) -> Found:
        number = len(self.batches)
        self.batches.append(set(keys))
        self.gates.append(asyncio.Event())
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        try:
            found = {key: self.marks[key] for key in keys if key in self.marks}  # as of the moment it was sent
            await self.gates[number].wait()
            if number in self.failures:
                raise self.failures[number]
            return found
        finally:
            self.out -= 1

    async def sent(self, many: int) -> None:
        async with asyncio.timeout(30):
            while len(self.batches) < many:
                await asyncio.sleep(0)

    def answer(self, number: int, failure: BaseException | None = None) -> None:
        if failure is not None:
            self.failures[number] = failure
        self.gates[number].set()


@contextmanager
def quiet_loop() -> Iterator[None]:
    """Nothing goes by the loop's exception handler: no failure that nobody looked at."""
    loop = asyncio.get_running_loop()
    said: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: said.append(context))
    try:
        yield
    finally:
        loop.set_exception_handler(None)
    assert said == []


async def a_turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# --- Together


async def test_all_who_wait_in_one_turn_share_one_question() -> None:
    store = Store()
    store.marks = {"b": 2, "d": 4}
    waiting = [store.coalescer.find([key, "*"]) for key in "abcabc"]
    await store.sent(1)
    store.answer(0)
    answers = await asyncio.gather(*waiting)
    assert store.batches == [{"a", "b", "c", "*"}]
    assert store.sizes == [6]
    assert [answer.get(key) for key, answer in zip("abcabc", answers, strict=True)] == [None, 2, None] * 2


async def test_a_late_caller_goes_into_the_next_batch_and_never_into_one_that_was_sent() -> None:
    """What is asked after a revocation has committed must be answered by a question that was sent after it."""
    store = Store(in_flight=2)
    early = store.coalescer.find(["j:1"])
    await store.sent(1)
    store.marks["j:1"] = 1
    late = store.coalescer.find(["j:1"])
    await store.sent(2)
    store.answer(1)
    assert await late == {"j:1": 1}
    store.answer(0)
    assert await early == {}


async def test_a_late_caller_waits_for_a_slot_when_none_is_free() -> None:
    store = Store(in_flight=1)
    early = store.coalescer.find(["j:1"])
    await store.sent(1)
    store.marks["j:1"] = 1
    late = [store.coalescer.find(["j:1"]) for _ in range(3)]
    await a_turn()
    assert len(store.batches) == 1
    store.answer(0)
    assert await early == {}
    await store.sent(2)
    store.answer(1)
    assert await asyncio.gather(*late) == [{"j:1": 1}] * 3
    assert store.sizes == [1, 3]


@pytest.mark.parametrize("in_flight", [1, 2, 4])
async def test_a_stalled_store_has_so_many_questions_out_and_no_more(in_flight: int) -> None:
    store = Store(in_flight=in_flight)
    waiting = []
    for _ in range(20):
        waiting.append(store.coalescer.find(["a"]))
        await a_turn()
    assert store.out == len(store.batches) == in_flight
    tasks = [task for task in asyncio.all_tasks() if "Coalescer" in repr(task)]
    assert len(tasks) == in_flight, "no task waits for a slot"
    for number in range(in_flight + 1):
        await store.sent(number + 1)
        store.answer(number)
    await asyncio.gather(*waiting)
    assert store.sizes == [1] * in_flight + [20 - in_flight]


async def test_no_question_is_for_more_than_five_hundred() -> None:
    store = Store(in_flight=1)
    waiting = [store.coalescer.find([f"k{number}"]) for number in range(2 * MAX_WAITERS + 1)]
    for number in range(3):
        await store.sent(number + 1)
        store.answer(number)
    await asyncio.gather(*waiting)
    assert store.sizes == [MAX_WAITERS, MAX_WAITERS, 1] == [500, 500, 1]
    assert store.most_out == 1
    assert [len(batch) for batch in store.batches] == [500, 500, 1], "in the order they came, and each once"


async def test_what_does_not_fit_goes_out_beside_it_where_a_slot_is_free() -> None:
    store = Store(in_flight=2)
    waiting = [store.coalescer.find([f"k{number}"]) for number in range(2 * MAX_WAITERS)]
    await store.sent(2)
    store.answer(0)
    store.answer(1)
    await asyncio.gather(*waiting)
    assert store.most_out == 2


async def test_who_comes_while_others_come_goes_out_with_them() -> None:
    store = Store()
    waiting = []
    for _ in range(TURNS):
        waiting += [store.coalescer.find(["a"]) for _ in range(2)]
        await asyncio.sleep(0)
    await store.sent(1)
    store.answer(0)
    await asyncio.gather(*waiting)
    assert store.sizes == [2 * TURNS]


async def test_who_comes_alone_waits_for_nobody() -> None:
    store = Store()
    store.coalescer.find(["a"])
    await asyncio.sleep(0)
    assert store.sizes == [1]


async def test_those_who_keep_coming_hold_nobody_up() -> None:
    store = Store(in_flight=1)
    for _ in range(TURNS + 2):
        store.coalescer.find(["a"])
        store.coalescer.find(["a"])
        await asyncio.sleep(0)
    assert len(store.sizes) == 1
    assert store.sizes[0] <= 2 * (TURNS + 1)


# --- The shortcut


class Short:
    """A shortcut that tells what a test makes it tell; elsewhere is a store."""

    def __init__(self, *, in_flight: int = 2, timeout: float = 30.0) -> None:
        self.is_there = True
        self.begun: list[tuple[set[str], Tell]] = []
        self.alone = Store()
        self.elsewhere = Store()
        self.find_elsewhere = self.elsewhere.ask
        self.coalescer = Coalescer(
            self.alone.ask, shortcut=self, in_flight=in_flight, timeout=timeout, observe=lambda size: None
        )

    def begin(self, keys: Collection[str], tell: Tell) -> bool:
        if self.is_there:
            self.begun.append((set(keys), tell))
        return self.is_there

    def tell(self, number: int, found: Found | None) -> None:
        self.begun[number][1](found)


async def test_a_shortcut_answers_without_a_task() -> None:
    short, before = Short(), asyncio.all_tasks()
    waiting = [short.coalescer.find([key]) for key in "aba"]
    await a_turn()
    assert asyncio.all_tasks() == before
    short.tell(0, {"b": 2})
    assert await asyncio.gather(*waiting) == [{"b": 2}] * 3
    assert [keys for keys, _ in short.begun] == [{"a", "b"}]
    assert short.alone.batches == short.elsewhere.batches == []


async def test_where_nothing_was_begun_it_is_asked_as_ever() -> None:
    short = Short()
    short.is_there = False
    waiting = short.coalescer.find(["a"])
    await short.alone.sent(1)
    short.alone.answer(0)
    assert await waiting == {}


async def test_what_was_asked_in_vain_is_asked_elsewhere_in_the_place_that_it_has() -> None:
    short = Short(in_flight=1)
    short.elsewhere.marks = {"a": 1}
    first = short.coalescer.find(["a"])
    await a_turn()
    short.tell(0, None)
    await short.elsewhere.sent(1)
    second = short.coalescer.find(["b"])
    await a_turn()
    assert len(short.begun) == 1, "there is no room yet"
    short.elsewhere.answer(0)
    assert await first == {"a": 1}
    await a_turn()
    short.tell(1, {})
    assert await second == {}
    assert short.alone.batches == []


async def test_a_shortcut_that_fails_by_a_fault_of_ours_is_reported_and_does_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = Short(in_flight=1)

    def fail(keys: Collection[str], tell: Tell) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(short, "begin", fail)
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    try:
        waiting = short.coalescer.find(["a"])
        await short.alone.sent(1)
        short.alone.answer(0)
        assert await waiting == {}
    finally:
        asyncio.get_running_loop().set_exception_handler(None)
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]


async def test_both_ways_together_have_one_timeout() -> None:
    short = Short(timeout=30)
    waiting = short.coalescer.find(["a"])
    await a_turn()
    await asyncio.sleep(0.01)
    told_at = asyncio.get_running_loop().time()
    short.tell(0, None)
    (timer,) = short.coalescer._tasks.values()
    assert timer.when() < told_at + 30, "it runs since the question was sealed"
    await short.elsewhere.sent(1)
    short.elsewhere.answer(0)
    await waiting


async def test_what_is_told_after_the_end_is_told_nobody() -> None:
    for late in ({"a": 1}, None):
        short = Short(in_flight=1)
        with quiet_loop():
            waiting = [short.coalescer.find(["a"]), short.coalescer.find(["a"])]
            await a_turn()
            await short.coalescer.close()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [Unavailable] * 2
            short.tell(0, late)
            await a_turn()
        assert short.elsewhere.batches == []


class _Faulty:
    """Who cannot take an answer, against all rules."""

    def done(self) -> bool:
        return False

    def set_result(self, found: Found) -> None:
        raise ZeroDivisionError

    def set_exception(self, error: Unavailable) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("is_there", [True, False])
async def test_who_cannot_take_its_answer_keeps_nobody_from_theirs(is_there: bool) -> None:
    short = Short()
    short.is_there = is_there
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    try:
        short.coalescer.join(["a"], _Faulty())
        waiting = short.coalescer.find(["a"])
        await a_turn()
        if is_there:
            short.tell(0, {})
        else:
            short.alone.answer(0)
        assert await waiting == {}
    finally:
        asyncio.get_running_loop().set_exception_handler(None)
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]


# --- Impatience


async def test_who_hangs_up_takes_the_answer_from_nobody_else() -> None:
    store = Store()
    waiting = [store.coalescer.find(["a"]) for _ in range(3)]
    await store.sent(1)
    waiting[1].cancel()
    store.answer(0)
    assert await waiting[0] == await waiting[2] == {}
    assert waiting[1].cancelled()


async def test_the_one_who_began_a_batch_may_hang_up() -> None:
    store = Store()

    async def call() -> Found:
        return await store.coalescer.find(["a"])

    first, second = asyncio.create_task(call()), asyncio.create_task(call())
    await store.sent(1)
    first.cancel()
    await a_turn()
    store.answer(0)
    assert await second == {}


async def test_what_only_those_asked_for_who_hung_up_is_not_asked() -> None:
    store = Store()
    gone, there = store.coalescer.find(["gone"]), store.coalescer.find(["there"])
    gone.cancel()
    await store.sent(1)
    assert store.batches == [{"there"}]
    store.answer(0)
    await there


async def test_nobody_is_asked_when_all_have_hung_up() -> None:
    store = Store(in_flight=1)
    for _ in range(3):
        store.coalescer.find(["a"]).cancel()
        await a_turn()
    assert store.batches == []
    there = store.coalescer.find(["there"])
    await store.sent(1)
    store.answer(0)
    await there


async def test_who_asks_for_nothing_is_told_nothing_and_nobody_is_asked() -> None:
    store = Store()
    assert await store.coalescer.find([]) == {}
    assert store.batches == []


# --- Failure


@pytest.mark.parametrize("failure", [Unavailable("down"), TimeoutError(), asyncio.CancelledError()], ids=repr)
async def test_a_batch_that_fails_is_an_outage_for_each_of_it_and_the_next_runs(failure: BaseException) -> None:
    store = Store(in_flight=1)
    with quiet_loop():
        first = [store.coalescer.find([key]) for key in "abc"]
        await store.sent(1)
        second = store.coalescer.find(["d"])
        store.answer(0, failure)
        outcomes = await asyncio.gather(*first, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
        await store.sent(2)
        store.answer(1)
        assert await second == {}


async def test_a_batch_that_fails_by_a_fault_of_ours_is_an_outage_too_and_is_reported() -> None:
    store = Store(in_flight=1)
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    try:
        first = store.coalescer.find(["a"])
        await store.sent(1)
        store.answer(0, ZeroDivisionError())
        with pytest.raises(Unavailable) as caught:
            await first
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        await a_turn()
    finally:
        asyncio.get_running_loop().set_exception_handler(None)
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]
    second = store.coalescer.find(["b"])
    await store.sent(2)
    store.answer(1)
    assert await second == {}


async def test_a_question_that_is_not_answered_in_time_is_an_outage() -> None:
    store = Store(timeout=0.05)
    with pytest.raises(Unavailable) as caught:
        await store.coalescer.find(["a"])
    assert isinstance(caught.value.__cause__, TimeoutError), "as the log shall have it"
    assert store.out == 0


async def test_nobody_waits_for_longer_than_two_timeouts_however_many_wait() -> None:
    """A store that stalls with thousands waiting: each batch of 500 would have its timeout, one behind the other."""
    store = Store(in_flight=2, timeout=0.5)
    started = perf_counter()
    outcomes = await asyncio.gather(
        *(store.coalescer.find([f"k{number}"]) for number in range(20 * MAX_WAITERS)), return_exceptions=True
    )
    assert perf_counter() - started < 8 * 0.5, "one behind the other it would have been ten"
    assert Counter(type(outcome) for outcome in outcomes) == {Unavailable: 20 * MAX_WAITERS}
    fresh = store.coalescer.find(["fresh"])
    await store.sent(len(store.batches) + 1)
    store.answer(len(store.batches) - 1)
    assert await fresh == {}, "and who comes afterwards is served"


async def test_who_hangs_up_in_the_turn_of_the_failure_leaves_no_complaint_behind() -> None:
    store = Store()
    with quiet_loop():

        async def call() -> None:
            await store.coalescer.find(["a"])

        task = asyncio.create_task(call())
        await store.sent(1)
        store.answer(0, Unavailable())
        while store.out:  # until the batch has failed, and the caller has not yet been told
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, Unavailable)):
            await task
        del task
        await a_turn()


# --- The end


async def test_closing_tells_all_who_wait_sent_or_not() -> None:
    store = Store(in_flight=1)
    with quiet_loop():
        sent = store.coalescer.find(["a"])
        await store.sent(1)
        unsent = [store.coalescer.find(["b"]) for _ in range(3)]
        async with asyncio.timeout(30):
            await store.coalescer.close()
            outcomes = await asyncio.gather(sent, *unsent, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 4
        await a_turn()
        assert len(store.batches) == 1, "a batch that ends by closing makes no room for another"
        assert store.out == 0


async def test_closing_in_the_very_turn_of_a_question_tells_who_asked() -> None:
    for turns in range(4):
        store = Store()
        waiting = store.coalescer.find(["a"])
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await store.coalescer.close()
            with pytest.raises(Unavailable):
                await waiting


async def test_closing_twice_and_with_nobody_there_is_harmless() -> None:
    store = Store()
    await store.coalescer.close()
    await store.coalescer.close()


# --- All of it at once


class Register:
    """A store in which marks are only ever set, with a random wait before and after it looks."""

    def __init__(
        self, seed: int, *, in_flight: int, failing: float, timeout: float, has_shortcut: bool = False
    ) -> None:
        self.chance = random.Random(seed)
        self.failing = failing
        self.marks: dict[str, int] = {}
        self.out = self.most_out = 0
        self.largest = 0
        self.coalescer = Coalescer(
            self.ask,
            shortcut=self if has_shortcut else None,
            in_flight=in_flight,
            timeout=timeout,
            observe=self._observe,
        )

    def begin(self, keys: Collection[str], tell: Tell) -> bool:
        """Mostly; and sometimes in vain."""
        if self.chance.random() < 0.2:
            return False
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        asyncio.get_running_loop().call_later(self.chance.random() * 0.002, self._look, keys, tell)
        return True

    def _look(self, keys: Collection[str], tell: Tell) -> None:
        found = {key: self.marks[key] for key in keys if key in self.marks}
        is_vain = self.chance.random() < self.failing

        def end() -> None:
            self.out -= 1
            tell(None if is_vain else found)

        asyncio.get_running_loop().call_later(self.chance.random() * 0.002, end)

    async def find_elsewhere(self, keys: Collection[str]) -> Found:
        return await self.ask(keys)

    def _observe(self, size: int) -> None:
        self.largest = max(self.largest, size)

    async def ask(self, keys: Collection[str]) -> Found:
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        try:
            await asyncio.sleep(self.chance.random() * 0.002)
            found = {key: self.marks[key] for key in keys if key in self.marks}
            await asyncio.sleep(self.chance.random() * 0.002)
            if self.chance.random() < self.failing:
                raise self.chance.choice([Unavailable(), TimeoutError()])
            return found
        finally:
            self.out -= 1


async def drive(register: Register, calls: int, impatience: float) -> Counter[str]:
    """Calls while marks are being set. An answer has every mark that was set before its call began, with a number that
    is at least the one of then, and no mark that was not yet set when it came."""
    chance = register.chance
    outcomes: Counter[str] = Counter()

    async def call(number: int) -> None:
        await asyncio.sleep(chance.random() * 0.05)
        keys = [f"k{chance.randrange(50)}" for _ in range(6)]
        if chance.random() < 0.3:
            register.marks[keys[0]] = register.marks.get(keys[0], 0) + 1
        before = {key: register.marks.get(key, 0) for key in keys}
        patience = chance.random() * 0.004 if chance.random() < impatience else None
        try:
            async with asyncio.timeout(patience):
                found = await register.coalescer.find(keys)
        except TimeoutError:
            outcomes["hung up"] += 1
        except Unavailable:
            outcomes["unavailable"] += 1
        else:
            outcomes["answered"] += 1
            for key in keys:
                assert before[key] <= found.get(key, 0) <= register.marks.get(key, 0)

    with quiet_loop():
        await asyncio.gather(*(call(number) for number in range(calls)))
        await a_turn()
        while register.coalescer._tasks or register.coalescer._begun:  # of those that all have hung up on
            await asyncio.sleep(0.001)
    assert sum(outcomes.values()) == calls
    assert register.out == 0
    assert register.coalescer._waiting == []
    return outcomes


@pytest.mark.parametrize("has_shortcut", [False, True])
async def test_ten_thousand_calls_with_hang_ups_and_failures_are_each_answered_rightly(has_shortcut: bool) -> None:
    before = asyncio.all_tasks()
    register = Register(1, in_flight=2, failing=0.3, timeout=5, has_shortcut=has_shortcut)
    outcomes = await drive(register, 10_000, impatience=0.3)
    assert min(outcomes["answered"], outcomes["hung up"], outcomes["unavailable"]) > 100
    assert register.most_out == 2
    assert register.largest <= MAX_WAITERS
    assert register.coalescer._free == 2, "every slot is back"
    assert asyncio.all_tasks() == before


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    in_flight=st.integers(1, 4),
    failing=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    impatience=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    timeout=st.sampled_from([0.001, 0.003, 5.0]),
    has_shortcut=st.booleans(),
)
async def test_no_mix_of_calls_hang_ups_failures_and_timeouts_gets_a_wrong_answer_or_leaks(
    seed: int, in_flight: int, failing: float, impatience: float, timeout: float, has_shortcut: bool
) -> None:
    before = asyncio.all_tasks()
    register = Register(seed, in_flight=in_flight, failing=failing, timeout=timeout, has_shortcut=has_shortcut)
    await drive(register, 150, impatience)
    assert register.most_out <= in_flight
    assert register.coalescer._free == in_flight
    assert asyncio.all_tasks() == before
