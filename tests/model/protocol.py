"""A model of how a revocation reaches every introspection, with each of its rules removable.

One token, one who revokes it, one reader with a lease, two warmers of which either may come to life again at any time,
another node that fences, and a Redis that loses what it likes. A state is a value; `successors` gives every state that
one step of one actor, one tick of the clock or one fault leads to. The token is wrongly active when a read that began
after the revoker had answered finds no mark.

Left out, and why it may be:
- several tokens and several readers: they share nothing but what is modelled, and no step of one depends on another;
- PostgreSQL's failures: a statement that fails leaves a step undone, and every actor may stop for good after any step;
- the numbers of marks: a mark that is present is final, and of two numbers the larger stays;
- lost replies of commits: the caller is told 503, and whoever retries finds it committed, which is modelled;
- PostgreSQL that is set back to an earlier state: the workers are stopped for that (docs/backup.md), and whoever did go
  on sees an epoch that goes back and puts Redis out of use (`flows/lease.py`);
- stalls of a worker: only its lease tells the time, and any number of ticks may pass between two steps of anybody;
- clocks of different speeds: for them the wait is longer than the lease by a tenth;
- messages that arrive after their sender has given up: the epoch of that sender never becomes R;
- more faults than `Bounds` allows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain
from typing import NamedTuple

LEASE = 1
"""Ticks. The revoker waits as long: in the model all clocks tick at once."""


class Rule(Enum):
    """What may be removed."""

    MODE_IS_READ_AFTER_COMMIT = auto()
    EVERY_CALL_CHECKS_THE_OWNER = auto()
    THE_OWNER_IS_CHECKED_IN_THE_CALL = auto()
    A_RELOAD_FORGETS_THE_OWNER = auto()
    MARKER_AND_ENTRIES_LIVE_TOGETHER = auto()
    AN_UNCONFIRMED_WRITE_FENCES = auto()
    A_FENCE_WAITS = auto()
    A_NEW_EPOCH_WAITS = auto()
    THE_SCAN_FOLLOWS_THE_FLIP = auto()
    THE_MARKER_IS_RAISED_BY_ITS_OWNER_ONLY = auto()
    A_WARM_UP_ENDS_BY_COMPARE_AND_SET = auto()
    NOBODY_JOINS_A_BATCH_THAT_WAS_SENT = auto()
    THE_LEASE_RUNS_FROM_THE_QUESTION = auto()
    WARMING_IS_WRITTEN_TO_AS_WELL = auto()
    A_WARM_UP_SENDS_NOTHING_TWICE = auto()
    A_RETRY_MAKES_IT_KNOWN_AGAIN = auto()


ALL = frozenset(Rule)


class Bounds(NamedTuple):
    """How much of the world is looked at."""

    faults: int = 2
    fences: int = 1
    """By another node, whose own write was not confirmed."""
    warm_ups: int = 2
    duplicates: int = 2
    """Where they may be sent twice: late second copies of `rev_own` and `rev_done`."""


NARROW = Bounds()


class Hash(NamedTuple):
    nonce: int
    complete: bool
    marked: bool


class Redis(NamedTuple):
    owner: int = 0
    """The nonce of the last warm-up, in the process's memory; 0: none."""
    hash: Hash | None = None


class Mode(NamedTuple):
    """The one row of `auth.cache_mode`."""

    state: str
    epoch: int
    nonce: int
    settled: bool


class Warmer(NamedTuple):
    step: str = "idle"
    nonce: int = 0
    epoch: int = 0
    scanned: bool = False
    """What it has read of the mark."""


class State(NamedTuple):
    mode: Mode = Mode("R", 1, 1, settled=True)
    committed: bool = False
    first: Redis = Redis(1, Hash(1, complete=True, marked=False))
    second: Redis | None = None
    """The replica that was promoted while the first lives on; either may be reached from then on."""
    saved: Hash | None = None
    """A snapshot on disk, or what the replica has."""
    # The revoker
    revoker: str = "idle"
    seen: Mode | None = None
    waited: int = 0
    # The reader
    told: int = 0
    """The nonce in an answer that is still on its way."""
    lease: int = 0
    lease_nonce: int = 0
    checked: bool = False
    """It has compared the owner before, on this connection."""
    batch: str = "none"
    """none, sent, absent (evaluated: no mark)."""
    batch_nonce: int = 0
    onlooker: int = LEASE
    """For how many ticks somebody has seen this epoch; -1: nobody has yet."""
    warmers: tuple[Warmer, Warmer] = (Warmer(), Warmer())
    next_nonce: int = 2
    faults: int = 0
    fences: int = 0
    duplicates: int = 0
    wrong: bool = False


Step = tuple[str, State]


@dataclass(frozen=True)
class Protocol:
    rules: frozenset[Rule] = ALL
    bounds: Bounds = NARROW

    def successors(self, s: State) -> Iterator[Step]:
        for label, after in chain(
            self._revoker(s), self._reader(s), self._warmer(s, 0), self._warmer(s, 1), self._others(s), self._faults(s),
            self._tick(s),
        ):  # fmt: skip
            yield label, self._without_what_is_over(after)

    def _without_what_is_over(self, s: State) -> State:
        """The same, less what makes no difference any more: so states that differ in nothing else are one."""
        if s.revoker == "waiting" and s.seen is not None and s.seen.epoch:
            s = s._replace(seen=s.seen._replace(epoch=0, nonce=0))
        elif s.revoker == "answered" and not (s.onlooker == LEASE and s.mode.settled):
            s = s._replace(onlooker=LEASE, mode=s.mode._replace(settled=True))  # nobody waits
        if not self.rules >= self._UNREACHABLE:
            return s
        if s.saved is not None:
            s = s._replace(saved=None)
        # A call is refused that does not bring the nonce of the owner; and those that nobody has any more, none brings.
        brought = {s.mode.nonce, s.lease_nonce, s.batch_nonce, s.told, s.warmers[0].nonce, s.warmers[1].nonce}
        if s.seen is not None:
            brought.add(s.seen.nonce)
        for name in self._servers(s):
            redis = _get(s, name)
            if redis.owner and redis.owner not in brought:
                s = _set(s, name, Redis())
            elif redis.hash is not None and redis.hash.nonce != redis.owner:
                s = _set(s, name, redis._replace(hash=None))
        return s

    _UNREACHABLE = frozenset(
        {Rule.EVERY_CALL_CHECKS_THE_OWNER, Rule.A_RELOAD_FORGETS_THE_OWNER, Rule.THE_MARKER_IS_RAISED_BY_ITS_OWNER_ONLY,
         Rule.THE_OWNER_IS_CHECKED_IN_THE_CALL}
    )  # fmt: skip

    # --- Redis

    def _servers(self, s: State) -> list[str]:
        return ["first"] if s.second is None else ["first", "second"]

    def _admits(self, redis: Redis, nonce: int) -> bool:
        """What every function checks first: the caller's nonce is the owner's, and the hash is there."""
        owns = redis.owner == nonce or Rule.EVERY_CALL_CHECKS_THE_OWNER not in self.rules
        return owns and redis.hash is not None and redis.hash.nonce == nonce

    # --- The revoker: commit, read the mode, write or fence, wait, answer

    def _revoker(self, s: State) -> Iterator[Step]:
        late = Rule.MODE_IS_READ_AFTER_COMMIT in self.rules
        match s.revoker:
            case "idle" if late:
                yield "revoker commits", s._replace(committed=True, revoker="committed")
            case "idle":
                yield "revoker reads the mode too early", s._replace(seen=s.mode, waited=0, revoker="early")
            case "early":
                yield "revoker commits", s._replace(committed=True, revoker="knows")
            case "committed":
                yield "revoker reads the mode", s._replace(seen=s.mode, waited=0, revoker="knows")
            case "knows":
                yield from self._write(s)
            case "fencing":
                yield from self._fence(s)
            case "waiting" if s.waited >= LEASE or self._needs_no_wait(s):
                yield "revoker answers", s._replace(revoker="answered", seen=None, waited=0)
        if s.revoker in {"knows", "fencing", "waiting"} and late:
            yield from self._retry(s)

    def _retry(self, s: State) -> Iterator[Step]:
        """The caller was told 503 after the commit, and comes again, to whichever worker."""
        again = "committed" if Rule.A_RETRY_MAKES_IT_KNOWN_AGAIN in self.rules else "answered"
        yield "revoker fails and is asked again", s._replace(revoker=again, seen=None, waited=0)

    def _write(self, s: State) -> Iterator[Step]:
        seen = s.seen
        assert seen is not None
        written_to = ("R", "W") if Rule.WARMING_IS_WRITTEN_TO_AS_WELL in self.rules else ("R",)
        if seen.state not in written_to:
            yield "revoker has no Redis to write to", s._replace(revoker="waiting")
            return
        unsure = "fencing" if Rule.AN_UNCONFIRMED_WRITE_FENCES in self.rules else "waiting"
        yield "revoker's write is lost", s._replace(revoker=unsure)
        for name in self._servers(s):
            redis = _get(s, name)
            if not self._admits(redis, seen.nonce):
                continue
            assert redis.hash is not None
            written = _set(s, name, redis._replace(hash=redis.hash._replace(marked=True)))
            yield f"revoker writes to the {name}", written._replace(revoker="waiting")
            yield f"revoker writes to the {name}, and the reply is lost", written._replace(revoker=unsure)

    def _fence(self, s: State) -> Iterator[Step]:
        seen = s.seen
        assert seen is not None
        if s.mode.epoch == seen.epoch and s.mode.state == seen.state:
            fenced = Mode("G", s.mode.epoch + 1, 0, _no_lease_lives(s.mode))
            yield "revoker fences", s._replace(mode=fenced, onlooker=-1, seen=fenced, waited=0, revoker="waiting")
        else:
            yield "revoker was overtaken", s._replace(revoker="committed", seen=None)

    def _needs_no_wait(self, s: State) -> bool:
        seen = s.seen
        assert seen is not None
        if Rule.A_FENCE_WAITS not in self.rules and seen.state == "G":
            return True
        if Rule.A_NEW_EPOCH_WAITS not in self.rules and seen.state != "G":
            return True
        return seen.settled

    # --- The reader: ask for a lease, and with it Redis; whatever is in doubt goes to PostgreSQL, which is right

    def _reader(self, s: State) -> Iterator[Step]:
        nonce = s.mode.nonce if s.mode.state == "R" else 0
        if Rule.THE_LEASE_RUNS_FROM_THE_QUESTION in self.rules:
            # However late the answer is, the lease is no longer than if it had come at once.
            yield "reader is told the mode", self._leased(s, nonce)
        else:
            yield "reader is being told the mode", s._replace(told=nonce)
            yield "reader gets the answer", self._leased(s._replace(told=0), s.told)
        # Of introspections that began before the revoker answered nothing was promised.
        is_late = s.revoker == "answered"
        joins = Rule.NOBODY_JOINS_A_BATCH_THAT_WAS_SENT not in self.rules
        if s.batch == "none" and s.lease > 0 and (is_late or joins):
            yield "reader checks its lease and sends", s._replace(batch="sent", batch_nonce=s.lease_nonce)
        elif s.batch == "sent":
            yield from self._read(s)
        elif s.batch == "absent":
            yield "reader answers active", s._replace(batch="none", batch_nonce=0, wrong=is_late)

    def _leased(self, s: State, nonce: int) -> State:
        checked = s.checked and s.lease_nonce == nonce
        return s._replace(lease=LEASE if nonce else 0, lease_nonce=nonce, checked=checked)

    def _read(self, s: State) -> Iterator[Step]:
        yield "reader goes to PostgreSQL", s._replace(batch="none", batch_nonce=0)
        for name in self._servers(s):
            redis = _get(s, name)
            if Rule.THE_OWNER_IS_CHECKED_IN_THE_CALL not in self.rules:
                if redis.owner == s.batch_nonce and not s.checked:
                    yield f"reader compares the owner of the {name}", s._replace(checked=True)
                admitted = s.checked and redis.hash is not None and redis.hash.nonce == s.batch_nonce
            else:
                admitted = self._admits(redis, s.batch_nonce)
            if admitted and redis.hash is not None and redis.hash.complete and not redis.hash.marked:
                yield f"the {name} has no mark", s._replace(batch="absent")

    # --- A warmer: flip the mode, own Redis, scan PostgreSQL, load, mark complete, flip the mode

    def _warmer(self, s: State, which: int) -> Iterator[Step]:
        me = s.warmers[which]
        # Who gives up does nothing any more, and there is a warmer for each warm-up: that needs no step of its own.
        match me.step:
            case "idle" if self._may_begin(s):
                if Rule.THE_SCAN_FOLLOWS_THE_FLIP in self.rules:
                    yield f"warmer {which} begins", _begin(s, which, me)
                else:
                    scanned = Warmer("scanned early", scanned=s.committed)
                    yield f"warmer {which} scans too early", _with(s, which, scanned)
            case "scanned early" if self._may_begin(s):
                yield f"warmer {which} begins", _begin(s, which, me)
            case "begun":
                yield from self._own(s, which)
            case "owned":
                early = Rule.THE_SCAN_FOLLOWS_THE_FLIP not in self.rules
                scanned = me._replace(step="scanned", scanned=me.scanned if early else s.committed)
                yield f"warmer {which} scans", _with(s, which, scanned)
            case "scanned":
                yield from self._load(s, which)
            case "loaded":
                yield from self._complete(s, which)
            case "completed":
                is_current = s.mode.epoch == me.epoch
                if is_current or Rule.A_WARM_UP_ENDS_BY_COMPARE_AND_SET not in self.rules:
                    warm = s.mode._replace(state="R", nonce=me.nonce)
                    yield f"warmer {which} flips the mode", _with(s._replace(mode=warm), which, Warmer())

    def _may_begin(self, s: State) -> bool:
        return s.mode.state != "R" and s.next_nonce < 2 + self.bounds.warm_ups

    def _own(self, s: State, which: int) -> Iterator[Step]:
        me = s.warmers[which]
        for name in self._servers(s):
            owned = self._owned(s, name, me.nonce)
            if owned is not None:
                yield f"warmer {which} owns the {name}", _with(owned, which, me._replace(step="owned"))

    def _owned(self, s: State, name: str, nonce: int) -> State | None:
        """`rev_own`: refused to whom it belongs already."""
        redis = _get(s, name)
        if redis.owner == nonce:
            return None
        return _set(s, name, Redis(nonce, Hash(nonce, complete=False, marked=False)))

    def _load(self, s: State, which: int) -> Iterator[Step]:
        me = s.warmers[which]
        for name in self._servers(s):
            redis = _get(s, name)
            if self._admits(redis, me.nonce):
                assert redis.hash is not None
                hash_ = redis.hash._replace(marked=redis.hash.marked or me.scanned)
                loaded = _set(s, name, redis._replace(hash=hash_))
                yield f"warmer {which} loads the {name}", _with(loaded, which, me._replace(step="loaded"))

    def _complete(self, s: State, which: int) -> Iterator[Step]:
        me = s.warmers[which]
        for name in self._servers(s):
            completed = self._completed(s, name, me.nonce)
            if completed is not None:
                yield f"warmer {which} completes the {name}", _with(completed, which, me._replace(step="completed"))

    def _completed(self, s: State, name: str, nonce: int) -> State | None:
        """`rev_done`: 0 to 1, by the owner."""
        redis = _get(s, name)
        if Rule.THE_MARKER_IS_RAISED_BY_ITS_OWNER_ONLY not in self.rules:
            kept = redis.hash if redis.hash is not None and redis.hash.nonce == nonce else None
            blind = Hash(nonce, complete=True, marked=kept is not None and kept.marked)
            return _set(s, name, redis._replace(hash=blind))
        if not self._admits(redis, nonce) or redis.hash is None or redis.hash.complete:
            return None
        return _set(s, name, redis._replace(hash=redis.hash._replace(complete=True)))

    # --- Other nodes, the network, the clock

    def _others(self, s: State) -> Iterator[Step]:
        if s.fences < self.bounds.fences and s.mode.state != "G":
            fenced = Mode("G", s.mode.epoch + 1, 0, _no_lease_lives(s.mode))
            yield "another node fences", s._replace(mode=fenced, onlooker=-1, fences=s.fences + 1)
        if s.onlooker < 0:
            yield "an onlooker sees the epoch", s._replace(onlooker=0)
        elif s.onlooker >= LEASE and not s.mode.settled:
            yield "the onlooker settles it", s._replace(mode=s.mode._replace(settled=True))
        if Rule.A_WARM_UP_SENDS_NOTHING_TWICE not in self.rules and s.duplicates < self.bounds.duplicates:
            again = s._replace(duplicates=s.duplicates + 1)
            for nonce in {each.nonce for each in s.warmers if each.nonce} | {s.mode.nonce} - {0}:
                for name in self._servers(s):
                    for what, after in (("own", self._owned), ("done", self._completed)):
                        if (late := after(again, name, nonce)) is not None:
                            yield f"a late second {what} reaches the {name}", late

    def _faults(self, s: State) -> Iterator[Step]:
        if s.saved is None and s.first.hash is not None:
            yield "the first is saved", s._replace(saved=s.first.hash)
        if s.faults >= self.bounds.faults:
            return
        hit = s._replace(faults=s.faults + 1)
        yield "the first loses everything but its process", hit._replace(first=s.first._replace(hash=None))
        yield "the first restarts empty", hit._replace(first=Redis())
        if s.saved is not None:
            yield "the first restarts from what was saved", hit._replace(first=Redis(0, s.saved))
            owner = 0 if Rule.A_RELOAD_FORGETS_THE_OWNER in self.rules else s.first.owner
            yield "the first reloads what was saved", hit._replace(first=Redis(owner, s.saved))
        if s.second is None:
            yield "a replica that lags is promoted", hit._replace(second=Redis(0, s.saved))
        if Rule.MARKER_AND_ENTRIES_LIVE_TOGETHER not in self.rules and s.first.hash is not None:
            evicted = s.first.hash._replace(marked=False)
            yield "the first evicts an entry", hit._replace(first=s.first._replace(hash=evicted))

    def _tick(self, s: State) -> Iterator[Step]:
        yield (
            "a tick",
            s._replace(
                lease=max(0, s.lease - 1),
                lease_nonce=s.lease_nonce if s.lease > 1 else 0,
                waited=min(LEASE, s.waited + 1) if s.seen is not None else 0,
                onlooker=s.onlooker if s.onlooker < 0 else min(LEASE, s.onlooker + 1),
            ),
        )


def _no_lease_lives(mode: Mode) -> bool:
    """Those of earlier epochs are over, and this one has given none: then the next epoch has nothing to wait for."""
    return mode.settled and mode.state != "R"


def _get(s: State, name: str) -> Redis:
    redis = s.first if name == "first" else s.second
    assert redis is not None
    return redis


def _set(s: State, name: str, redis: Redis) -> State:
    return s._replace(first=redis) if name == "first" else s._replace(second=redis)


def _with(s: State, which: int, warmer: Warmer) -> State:
    first, second = sorted((warmer, s.warmers[1 - which]))  # they are alike
    return s._replace(warmers=(first, second))


def _begin(s: State, which: int, me: Warmer) -> State:
    nonce, epoch = s.next_nonce, s.mode.epoch + 1
    begun = s._replace(mode=Mode("W", epoch, nonce, _no_lease_lives(s.mode)), onlooker=-1, next_nonce=nonce + 1)
    return _with(begun, which, me._replace(step="begun", nonce=nonce, epoch=epoch))
