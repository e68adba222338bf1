"""When a key begins to sign and when it goes: row by row, and over long histories with verifiers that keep copies."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from authsvc.models import SigningKey
from authsvc.protocol.keys import published, signer_of
from authsvc.protocol.rotation import (
    RETIREMENT,
    SETTLING,
    Birth,
    Plan,
    Policy,
    current_of,
    is_due,
    not_after,
    plan,
    signer_or_stand_in,
)

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = Policy(("ES256",), jwks_max_age=timedelta(minutes=5), rotation=90 * DAY)
KNOWN = POLICY.publication
AGES = 30 * DAY
"""How long ago a key was made of which everybody knows."""


def key(
    kid: str,
    *,
    made: timedelta = AGES,
    signs_in: timedelta | None = None,
    verifies_for: timedelta | None = None,
    algorithm: str = "ES256",
) -> SigningKey:
    """A row: made so long ago, which signs and verifies from and to so much later than now."""
    return SigningKey(
        kid=kid,
        algorithm=algorithm,
        public_jwk={},
        sealed_private=b"",
        master_key_id="",
        created_at=NOW - made,
        signs_from=None if signs_in is None else NOW + signs_in,
        verifies_until=None if verifies_for is None else NOW + verifies_for,
    )


SECOND = timedelta(seconds=1)
CURRENT = key("current", signs_in=-10 * DAY)
NEXT = key("next")
YOUNG = key("young", made=SECOND)
SCHEDULED = key("scheduled", made=10 * SECOND, signs_in=KNOWN - 10 * SECOND)
RETIRED = key("retired", signs_in=-20 * DAY, verifies_for=timedelta(minutes=1))
WAITING = key("waiting", made=10 * SECOND, signs_in=KNOWN - 10 * SECOND, verifies_for=RETIREMENT)
RSA = key("rsa", signs_in=-99 * DAY, algorithm="RS256")
RSA_NEXT = key("rsa-next", algorithm="RS256")


def begins(row: SigningKey, at: timedelta = timedelta(0)) -> SigningKey:
    return replace(row, signs_from=NOW + at)


def goes(row: SigningKey, at: timedelta = timedelta(0)) -> SigningKey:
    return replace(row, verifies_until=NOW + at + RETIREMENT)


A_NEXT_ONE = Birth("ES256", NOW, None)
FIRST = (Birth("ES256", NOW - KNOWN, NOW - KNOWN), Birth("ES256", NOW - KNOWN, None))

PLANS = [
    # keys, changes, births: without being asked to rotate
    ("the first keys of all", [], (), FIRST),
    ("nothing is to be done", [CURRENT, NEXT], (), ()),
    ("nothing, with old ones", [RETIRED, CURRENT, NEXT], (), ()),
    ("nothing, while one waits", [goes(CURRENT, KNOWN), SCHEDULED, YOUNG], (), ()),
    ("no next one", [CURRENT], (), (A_NEXT_ONE,)),
    ("a new algorithm: its keys are published ahead", [RSA, RSA_NEXT],
     (), (Birth("ES256", NOW, NOW + KNOWN), A_NEXT_ONE)),
    ("nothing, while a new algorithm waits", [RSA, RSA_NEXT, SCHEDULED, NEXT], (), ()),
    ("nothing about another algorithm's", [RSA, CURRENT, NEXT], (), ()),
]  # fmt: skip

KILLS = [
    # keys, changes, births: of what a kill has left
    ("the next one takes over", [NEXT], (begins(NEXT),), (A_NEXT_ONE,)),
    ("a young one is better than none", [YOUNG], (begins(YOUNG, SETTLING - SECOND),), (A_NEXT_ONE,)),
    ("who waits begins", [SCHEDULED, NEXT], (begins(SCHEDULED),), ()),
    ("an old one stands in until a young one is known", [RETIRED, YOUNG],
     (goes(RETIRED, KNOWN - SECOND), begins(YOUNG, KNOWN - SECOND)), (A_NEXT_ONE,)),
    ("an old one stands in for one that waits", [RETIRED, SCHEDULED, NEXT],
     (goes(RETIRED, KNOWN - 10 * SECOND),), ()),
    ("both", [RETIRED], (goes(RETIRED, KNOWN),), (Birth("ES256", NOW, NOW + KNOWN), A_NEXT_ONE)),
    ("who waits, and the one before it signs on", [goes(CURRENT, SETTLING), YOUNG],
     (goes(CURRENT, KNOWN - SECOND), begins(YOUNG, KNOWN - SECOND)), (A_NEXT_ONE,)),
]  # fmt: skip

ROTATIONS = [
    # keys, changes, births: asked to rotate
    ("the next one is known", [CURRENT, NEXT], (goes(CURRENT), begins(NEXT)), (A_NEXT_ONE,)),
    ("the next one is young", [CURRENT, YOUNG],
     (goes(CURRENT, KNOWN - SECOND), begins(YOUNG, KNOWN - SECOND)), (A_NEXT_ONE,)),
    ("one is under way", [goes(CURRENT, KNOWN), SCHEDULED, YOUNG], (), ()),
    ("there is no next one", [CURRENT], (goes(CURRENT, KNOWN),), (Birth("ES256", NOW, NOW + KNOWN), A_NEXT_ONE)),
    ("there is none at all", [], (), FIRST),
    ("what was retired stays so", [RETIRED, CURRENT, NEXT], (goes(CURRENT), begins(NEXT)), (A_NEXT_ONE,)),
    ("the other algorithm stays as it is", [RSA, RSA_NEXT, CURRENT, NEXT],
     (goes(CURRENT), begins(NEXT)), (A_NEXT_ONE,)),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "changes", "births"), [pytest.param(*row, id=name) for name, *row in PLANS])
def test_what_the_keys_lack_is_done(
    keys: list[SigningKey], changes: tuple[SigningKey, ...], births: tuple[Birth, ...]
) -> None:
    assert plan(keys, POLICY, NOW) == Plan(changes, births)


@pytest.mark.parametrize(("keys", "changes", "births"), [pytest.param(*row, id=name) for name, *row in KILLS])
def test_a_set_that_lost_a_key_signs_on_as_soon_as_it_can(
    keys: list[SigningKey], changes: tuple[SigningKey, ...], births: tuple[Birth, ...]
) -> None:
    assert plan(keys, POLICY, NOW, killed="ES256") == Plan(changes, births)


@pytest.mark.parametrize("killed", ["ES256", None])
def test_a_kill_hurries_no_other_set(killed: str | None) -> None:
    """JWK-06. What waits there was not killed: it is new."""
    policy = replace(POLICY, algorithms=("RS256", "ES256"))
    new = [replace(SCHEDULED, algorithm="RS256"), replace(NEXT, algorithm="RS256")]
    assert plan([*new, CURRENT, YOUNG], policy, NOW, killed=killed) == Plan()
    assert plan([*new, CURRENT, YOUNG], policy, NOW, killed="RS256") == Plan((begins(new[0]),), ())


def test_sets_live_by_themselves() -> None:
    """What is to be done about several is what is to be done about each."""
    both = replace(POLICY, algorithms=("ES256", "RS256"))
    other = replace(POLICY, algorithms=("RS256",))
    for _, keys, *_ in (*PLANS, *KILLS, *ROTATIONS):
        ours = [each for each in keys if each.algorithm == "ES256"]
        for theirs in ([RSA], [RSA, RSA_NEXT], [RSA_NEXT]):
            rows = [*ours, *theirs]
            for rotates in ((), ("ES256",), ("RS256",), ("RS256", "ES256")):
                one, two = (plan(rows, each, NOW, rotates=rotates) for each in (POLICY, other))
                assert plan(rows, both, NOW, rotates=rotates) == Plan(
                    one.changes + two.changes, one.births + two.births
                )


@pytest.mark.parametrize(
    ("keys", "signer"),
    [
        ([CURRENT, RSA], CURRENT),
        ([SCHEDULED, NEXT, RSA], RSA),  # the set is new: selected with the upgrade that brought it
        ([RSA, RSA_NEXT], RSA),
        ([begins(YOUNG, SETTLING), NEXT, RSA], None),  # its keys were killed, and it signs in a moment
        ([SCHEDULED, NEXT], None),
        ([], None),
    ],
)
def test_another_algorithm_stands_in_for_a_new_one_and_never_for_a_killed_one(
    keys: list[SigningKey], signer: SigningKey | None
) -> None:
    assert signer_or_stand_in(keys, "ES256", POLICY, NOW) == signer


@pytest.mark.parametrize(("keys", "changes", "births"), [pytest.param(*row, id=name) for name, *row in ROTATIONS])
def test_a_rotation_lets_the_next_key_sign_when_every_verifier_knows_it(
    keys: list[SigningKey], changes: tuple[SigningKey, ...], births: tuple[Birth, ...]
) -> None:
    assert plan(keys, POLICY, NOW, rotates=("ES256",)) == Plan(changes, births)


def test_a_plan_is_true_when_there_is_something_to_do() -> None:
    assert plan([CURRENT], POLICY, NOW)
    assert not plan([CURRENT, NEXT], POLICY, NOW)


def test_a_key_is_published_for_twice_the_age_of_a_copy() -> None:
    """MET-09."""
    assert Policy(("ES256",), timedelta(hours=1)).publication == timedelta(hours=2) + SETTLING


@pytest.mark.parametrize(
    ("keys", "rotation", "due"),
    [
        ([begins(CURRENT, -90 * DAY), NEXT], 90 * DAY, True),
        ([begins(CURRENT, SECOND - 90 * DAY), NEXT], 90 * DAY, False),
        ([begins(CURRENT, -900 * DAY), NEXT], None, False),
        ([goes(begins(CURRENT, -90 * DAY), KNOWN), SCHEDULED, YOUNG], 90 * DAY, False),  # it is being done
        ([begins(replace(RSA), -900 * DAY), CURRENT, NEXT], 90 * DAY, False),
        ([NEXT], 90 * DAY, False),
        ([], 90 * DAY, False),
    ],
)
def test_a_rotation_is_due_when_the_current_key_has_signed_for_long_enough(
    keys: list[SigningKey], rotation: timedelta | None, due: bool
) -> None:
    assert is_due(keys, "ES256", replace(POLICY, rotation=rotation), NOW) == due


def test_what_has_to_be_gone_when_is_read_off_the_rows() -> None:
    keys = [RETIRED, CURRENT, NEXT]
    assert not_after(RETIRED, keys, POLICY) == RETIRED.verifies_until
    assert not_after(CURRENT, keys, POLICY) == NOW + 80 * DAY
    assert not_after(CURRENT, keys, replace(POLICY, rotation=None)) is None
    assert not_after(NEXT, keys, POLICY) is None


# --- Histories

LATE = SETTLING.total_seconds() - 1
"""By so much a worker may be late to read the keys: it does each second, and its clock is a little off."""
TOKEN_LIFE = timedelta(hours=1)
MAX_AGE = POLICY.jwks_max_age


class Histories(RuleBasedStateMachine):
    """Keys that are rotated, killed and purged while time passes. Two workers read them late and mint tokens; verifiers
    keep copies of the JWKS that a proxy had kept before."""

    @initialize()
    def start(self) -> None:
        self.now = NOW
        self.numbers = count()
        self.keys: list[SigningKey] = []
        self.tokens: dict[tuple[str, datetime], None] = {}
        self.hasty: set[str] = set()
        """Who began to sign before it was known, for want of another."""
        self.carry_out(plan(self.keys, POLICY, self.now))
        self.read = [(self.now, self.keys)] * 2
        self.proxy = self.verifier = (self.now, self.jwks(0))

    def carry_out(self, todo: Plan) -> None:
        changed = {each.kid: each for each in todo.changes}
        self.keys = [changed.get(each.kid, each) for each in self.keys]
        for birth in todo.births:
            row = key(f"{next(self.numbers):03}")
            self.keys = [*self.keys, replace(row, created_at=birth.created_at, signs_from=birth.signs_from)]
        self.hasty |= {
            each.kid
            for each in self.keys
            if each.signs_from is not None and each.signs_from < each.created_at + KNOWN and each.created_at >= NOW
        }
        assert not plan(self.keys, POLICY, self.now), "who comes second finds it done"

    def jwks(self, worker: int) -> frozenset[str]:
        at, rows = self.read[worker]
        return frozenset(each.kid for each in published(rows, at))

    @rule(seconds=st.sampled_from([6, 299, 3550, 86_400]), late=st.tuples(*[st.sampled_from([0.0, LATE])] * 2))
    def pass_time(self, seconds: int, late: tuple[float, float]) -> None:
        then, self.now = self.now, self.now + timedelta(seconds=seconds)
        for worker, by in enumerate(late):
            at = max(then, self.now - timedelta(seconds=by))
            if at > then or self.now - self.read[worker][0] > timedelta(seconds=LATE):
                self.read[worker] = (at, self.keys)
        if self.now - self.proxy[0] > MAX_AGE:
            self.ask_service()
        if self.now - self.verifier[0] > MAX_AGE:
            self.ask_proxy()
        self.tokens = {token: None for token in self.tokens if token[1] > self.now}
        self.mint()

    @rule()
    def read_keys(self) -> None:
        self.read[0] = (self.now, self.keys)
        self.mint()

    def mint(self) -> None:
        for at, rows in self.read:
            signer = signer_of(rows, "ES256", at)
            if signer is not None and signer.kid in {each.kid for each in self.keys}:
                self.tokens[signer.kid, self.now + TOKEN_LIFE] = None

    @rule()
    def ask_service(self) -> None:
        self.proxy = (self.now, self.jwks(0))

    @rule()
    def ask_proxy(self) -> None:
        self.verifier = (self.now, self.proxy[1])

    @rule()
    def rotate(self) -> None:
        self.carry_out(plan(self.keys, POLICY, self.now, rotates=("ES256",)))

    @rule()
    def rotate_when_due(self) -> None:
        due = [each for each in POLICY.algorithms if is_due(self.keys, each, POLICY, self.now)]
        self.carry_out(plan(self.keys, POLICY, self.now, rotates=due))
        assert not is_due(self.keys, "ES256", POLICY, self.now)

    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        victim = data.draw(st.sampled_from([each.kid for each in self.keys]))
        self.keys = [each for each in self.keys if each.kid != victim]
        self.tokens = {token: None for token in self.tokens if token[0] != victim}
        self.carry_out(plan(self.keys, POLICY, self.now, killed="ES256"))

    @rule()
    def purge(self) -> None:
        self.keys = [each for each in self.keys if not_gone(each, self.now - DAY)]

    @invariant()
    def no_token_dies_before_its_time_or_is_unknown(self) -> None:
        living = {each.kid for each in published(self.keys, self.now)}
        for kid, _ in self.tokens:
            assert kid in living, "it was not killed"
            assert all(kid in self.jwks(worker) for worker in (0, 1)), "a worker does not know it"
            assert kid in self.verifier[1] or kid in self.hasty, "a verifier does not know it"

    @invariant()
    def somebody_signs_or_will_in_a_moment(self) -> None:
        current = current_of(self.keys, "ES256")
        assert current is not None
        assert current.signs_from is not None
        if signer_of(self.keys, "ES256", self.now) is None:
            assert current.signs_from <= self.now + SETTLING


def not_gone(row: SigningKey, at: datetime) -> bool:
    return row.verifies_until is None or row.verifies_until >= at


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
