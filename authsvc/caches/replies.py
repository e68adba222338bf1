"""What Redis answers to a function call that finds strings: its protocol, RESP, as far as that goes."""

from redis.exceptions import ResponseError

MOST_BYTES = 1 << 20
"""In one answer."""
_LINE = 64
"""The first line of an answer that is no error is shorter."""

Reply = list[bytes] | ResponseError
_NOTHING = b"*0\r\n"


class Replies:
    """Takes bytes as they come. Each answer is told once, in their order, when the last byte of it is there."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Reply]:
        """The answers that are complete now.

        Raises:
            ValueError: this is not what such a call is answered with; nothing that follows can be understood.
        """
        if data == _NOTHING and not self._rest:  # as nearly always
            return [[]]
        text, at, replies = self._rest + data, 0, []
        while (read := _read(text, at)) is not None:
            reply, at = read
            replies.append(reply)
        self._rest = text[at:]
        if len(self._rest) > MOST_BYTES:
            raise ValueError("an answer that is too long")
        return replies


def _read(text: bytes, at: int) -> tuple[Reply, int] | None:
    """The answer that begins there, and where the next one does. None: there is more to come."""
    kind = text[at : at + 1]
    if kind not in (b"", b"*", b"-"):
        raise ValueError("neither a list nor an error")
    end = text.find(b"\r\n", at)
    if kind == b"-" and end >= 0:
        return ResponseError(str(text[at + 1 : end], "utf-8", "replace")), end + 2
    if kind != b"*" or (many := _number(text, at, end)) is None:
        return None
    strings, at = [], end + 2
    for _ in range(many):
        end = text.find(b"\r\n", at)
        if text[at : at + 1] not in (b"", b"$"):
            raise ValueError("something else than a string in a list")
        if (length := _number(text, at, end)) is None or len(text) < end + 4 + length:
            return None
        at = end + 2 + length
        strings.append(text[end + 2 : at])
        if text[at : at + 2] != b"\r\n":
            raise ValueError("a string that does not end where it should")
        at += 2
    return strings, at


def _number(text: bytes, at: int, end: int) -> int | None:
    """What stands on the line behind its first byte. None: the line is not complete."""
    if end < 0:
        if len(text) - at > _LINE:
            raise ValueError("a line that is too long")
        return None
    digits = text[at + 1 : end]
    if not digits.isdigit() or len(digits) > _LINE or int(digits) > MOST_BYTES:
        raise ValueError("neither a length nor a count")
    return int(digits)
