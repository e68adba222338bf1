"""NIST SP 800-63B-4 §3.1.1.2: what a password may be. Normalised to NFC, never trimmed, folded or truncated."""

from unicodedata import normalize

from authsvc.errors import InvalidValue

MAX_CODE_POINTS = 256
MAX_BYTES = 1024


def prepare(password: str, *, pointer: str = "/password") -> bytes:
    """The bytes that are hashed: the same at setting and at verifying (PWR-04).

    Raises:
        InvalidValue: it is longer than anything this service hashes (PWS-06), or no Unicode text.
    """
    if len(password) <= MAX_BYTES:
        try:
            prepared = normalize("NFC", password)
            encoded = prepared.encode()
        except UnicodeEncodeError:
            raise InvalidValue("the password is not valid Unicode text", pointer=pointer) from None
        if len(prepared) <= MAX_CODE_POINTS and len(encoded) <= MAX_BYTES:
            return encoded
    raise InvalidValue(
        f"the password is longer than {MAX_CODE_POINTS} characters or {MAX_BYTES} bytes", pointer=pointer
    )


def prepare_new(password: str, *, min_length: int, pointer: str = "/password") -> bytes:
    """As `prepare`, for a password that is being set: it must also be long enough (PWR-01), counted in code points
    after normalisation (PWR-03). No composition rules (PWR-05).

    Raises:
        InvalidValue: it is too short or too long.
    """
    prepared = prepare(password, pointer=pointer)
    if len(prepared.decode()) < min_length:
        raise InvalidValue(
            f"the password needs at least {min_length} characters; a few unrelated words make a good one",
            pointer=pointer,
        )
    return prepared
