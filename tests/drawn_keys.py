"""Signing keys for workers that live for a moment: an RSA key takes a tenth of a second to make, so a few go round."""

from itertools import count

from authsvc.protocol.keys import GeneratedKey, generate

MANY = 32
"""More than any test has in one database."""

_made: list[GeneratedKey] = []
_turns = count()


def draw_key(algorithm: str) -> GeneratedKey:
    """As `generate`; of RSA it is one that another test may have had."""
    if algorithm != "RS256":
        return generate(algorithm)
    if len(_made) < MANY:
        _made.append(generate(algorithm))
        return _made[-1]
    return _made[next(_turns) % MANY]
