"""What Redis answers is understood however it is cut up; and what is no answer, taken for none."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from authsvc.caches.replies import MOST_BYTES, Replies, Reply

lists = st.lists(st.binary(max_size=40), max_size=5)
refusals = st.text("ABC xyz_:*$-", max_size=40).map(ResponseError)


def encode(reply: Reply) -> bytes:
    if isinstance(reply, ResponseError):
        return b"-%b\r\n" % str(reply).encode()
    return b"*%d\r\n" % len(reply) + b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in reply)


def plain(replies: list[Reply]) -> list[object]:
    return [("refused", str(each)) if isinstance(each, ResponseError) else each for each in replies]


@given(st.lists(lists | refusals, max_size=6), st.data())
def test_answers_are_told_in_their_order_wherever_they_are_cut(replies: list[Reply], data: st.DataObject) -> None:
    text = b"".join(map(encode, replies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    reader, told = Replies(), list[Reply]()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        told += reader.feed(text[start:end])
    assert plain(told) == plain(replies)


@given(lists | refusals)
def test_no_answer_is_told_before_its_last_byte(reply: Reply) -> None:
    text, reader = encode(reply), Replies()
    assert reader.feed(text[:-1]) == []
    assert plain(reader.feed(text[-1:])) == plain([reply])


@given(st.binary(max_size=100))
def test_anything_else_is_an_answer_or_a_value_error(data: bytes) -> None:
    with suppress(ValueError):
        Replies().feed(data)


@pytest.mark.parametrize(
    "text",
    [
        b"+OK\r\n",  # what other commands are answered with
        b":1\r\n",
        b"$3\r\nabc\r\n",
        b"$-1\r\n",
        b"_\r\n",
        b"%1\r\n",
        b">2\r\n",
        b"*-1\r\n",
        b"*1\r\n$-1\r\n",  # a nil, which the function puts into no list
        b"*1\r\n:1\r\n",
        b"*1\r\n*0\r\n",
        b"*x\r\n",
        b"*\r\n",
        b"*+1\r\n$1\r\nx\r\n",
        b"*1\r\n$2\r\nabc\r\n",
        b"*" + b"1" * 65,
        b"*99999999999\r\n",
        b"*1\r\n$99999999999\r\n",
        b"-" + b"x" * (MOST_BYTES + 1),
        b"HTTP/1.1 400 Bad Request\r\n",
    ],
)
def test_what_such_a_call_is_not_answered_with_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"a|neither|something"):
        Replies().feed(text)
