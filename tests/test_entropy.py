"""The one source of chance: enough of it, never twice the same, and none of it inherited (ATK-22)."""

import multiprocessing
import re
from collections.abc import Callable
from multiprocessing.connection import Connection

import pytest

from authsvc.entropy import ID_BYTES, SECRET_BYTES, SystemEntropy, mint_id, mint_secret


class Given:
    """Chance that is known beforehand."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def bytes(self, count: int) -> bytes:
        assert count == len(self.raw)
        return self.raw


def test_an_id_has_128_random_bits_and_a_secret_256() -> None:
    assert (ID_BYTES, SECRET_BYTES) == (16, 32)
    assert mint_id(Given(b"\xff" * 16)) == "_" * 21 + "w"
    assert mint_id(Given(bytes(16)), "usr_") == "usr_" + "A" * 22
    assert mint_secret(Given(b"\xfb" * 32), "as_") == "as_" + "-_v7" * 10 + "-_s"


@pytest.mark.parametrize(("mint", "length"), [(mint_id, 22), (mint_secret, 43)])
def test_a_hundred_thousand_are_all_different_and_made_of_harmless_letters(
    mint: Callable[[SystemEntropy], str], length: int
) -> None:
    minted = [mint(SystemEntropy()) for _ in range(100_000)]
    assert len(set(minted)) == 100_000
    assert all(re.fullmatch(rf"[A-Za-z0-9_-]{{{length}}}", text) for text in minted[:1000])
    assert {len(text) for text in minted} == {length}


def test_every_bit_is_drawn() -> None:
    drawn = [SystemEntropy().bytes(16) for _ in range(200)]
    for bit in range(128):
        ones = sum(raw[bit // 8] >> bit % 8 & 1 for raw in drawn)
        assert 40 < ones < 160, "a bit that is always the same, or nearly"


def _mint_many(pipe: Connection) -> None:
    pipe.send([mint_id(SystemEntropy()) for _ in range(2000)])
    pipe.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_forked_processes_do_not_draw_the_same() -> None:
    mint_id(SystemEntropy())  # so that there is a state to be inherited, if there were one
    context = multiprocessing.get_context("fork")
    children = []
    for _ in range(8):
        ours, theirs = context.Pipe()
        child = context.Process(target=_mint_many, args=(theirs,))
        child.start()
        theirs.close()
        children.append((child, ours))
    minted = [text for _, pipe in children for text in pipe.recv()]
    minted += [mint_id(SystemEntropy()) for _ in range(2000)]
    for child, pipe in children:
        child.join()
        pipe.close()
    assert len(minted) == len(set(minted)) == 18_000
