"""OpenID Connect Core §8.1, Registration §5: clients of one sector know a user by the same `sub`, those of another
sector by another (IDT-10, DCR-09).

A sector is a host: that of all redirect URIs of a client, or that of an address at which they are listed.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from authsvc.errors import InvalidValue
from authsvc.models import Client, SubjectType
from authsvc.protocol.outbound import is_outbound_uri
from authsvc.protocol.redirects import is_claimed


def sector_of(client: Client) -> str | None:
    """None: the client knows users by the `sub` that all such clients know. One that was never checked has a sector of
    its own, in which no host can be: a client id is none."""
    if client.subject_type is SubjectType.PUBLIC:
        return None
    if client.sector_identifier_uri is not None:
        return _host_of(client.sector_identifier_uri)
    hosts = set(map(_host_of, client.redirect_uris))
    return hosts.pop() if len(hosts) == 1 and _are_claimed(client) else client.client_id


def check_sector(client: Client) -> None:
    """Whether a client may be registered with its sector. What the document of the sector says is another question.

    Raises:
        InvalidValue: it has none, or more than one, or is said to be of one at an address that is not gone to.
    """
    uri = client.sector_identifier_uri
    if uri is not None:
        if not is_outbound_uri(uri):
            raise InvalidValue("the redirect URIs of a sector are at an https URI", pointer="/sector_identifier_uri")
        return
    if client.subject_type is SubjectType.PUBLIC:
        return
    # Any program on a device is reached on its loopback, and in schemes there are no hosts.
    if len(set(map(_host_of, client.redirect_uris))) != 1 or not _are_claimed(client):
        raise InvalidValue(
            "a client with pairwise subjects has https redirect URIs on one host, or a sector_identifier_uri",
            pointer="/sector_identifier_uri",
        )


def check_document(document: bytes, redirect_uris: Sequence[str]) -> None:
    """Whether the document at a `sector_identifier_uri` speaks for these redirect URIs.

    Raises:
        InvalidValue: not for all of them, or it is no such document.
    """
    try:
        listed = msgspec.json.decode(document, type=list[str])
    except (ValueError, RecursionError) as cause:  # its words may quote what it has read
        raise InvalidValue("at the sector_identifier_uri is no JSON list", pointer="/sector_identifier_uri") from cause
    missing = [uri for uri in redirect_uris if uri not in listed]
    if missing:
        raise InvalidValue(f"at the sector_identifier_uri {missing[0]} is not listed", pointer="/sector_identifier_uri")


def _host_of(uri: str) -> str:
    return urlsplit(uri).hostname or ""


def _are_claimed(client: Client) -> bool:
    return all(map(is_claimed, client.redirect_uris))
