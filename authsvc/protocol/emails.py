"""RFC 5321 §4.1.2, RFC 5891 and UTS #46: one spelling for each e-mail address.

The unique index stands on the result, so this is the one place, in the one language, where addresses are folded: the
database never lower-cases one. Canonicalised first and validated after (ATK-47), or a letter that folds to `@` or to a
blank would come in behind the check.
"""

import re
import unicodedata

import idna

from authsvc.errors import InvalidValue

MAX_LENGTH = 254
_MAX_INPUT_LENGTH = 320

_LOCAL_PART = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_MAX_LOCAL_LENGTH = 64
# White space, controls, invisible format characters, lone surrogates, private and unassigned code points.
_REFUSED_CATEGORIES = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn"})


def canonical_email(text: str) -> str:
    """The one spelling of an address: NFKC, lower case, the domain in A-labels. Applied to itself it changes nothing.

    The part after a plus sign stays.

    Raises:
        InvalidValue: it is not `dot-atom@domain` with a local part of ASCII and a domain of two labels or more, as a
            quoted local part, a comment, an address literal, a blank or an invisible character is not.
    """
    if len(text) > _MAX_INPUT_LENGTH:
        raise _invalid()
    folded = unicodedata.normalize("NFKC", text)
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in folded):
        raise _invalid()
    local, _, domain = folded.partition("@")
    canonical = f"{_canonical_local(local)}@{_canonical_domain(domain)}"
    if len(canonical) > MAX_LENGTH:
        raise _invalid()
    return canonical


def _canonical_local(local: str) -> str:
    lowered = local.lower()
    if len(lowered) > _MAX_LOCAL_LENGTH or not _LOCAL_PART.fullmatch(lowered):
        raise _invalid()
    return lowered


def _canonical_domain(domain: str) -> str:
    """Lower case and A-labels; a second `@` is no letter of a domain."""
    try:
        canonical = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as cause:
        raise _invalid() from cause
    last_label = canonical.rpartition(".")[2]
    # No dot is a name of the local network, nothing after the last dot is a second spelling of the same, and a digit
    # begins an IP address in one of its notations but no top-level domain (RFC 3696 §2).
    if "." not in canonical or not last_label or last_label[0].isdigit():
        raise _invalid()
    return canonical


def _invalid() -> InvalidValue:
    return InvalidValue("not an e-mail address that this service takes", pointer="/email")
