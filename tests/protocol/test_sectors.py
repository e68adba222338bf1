"""Which sector a client is of, and who says so (IDT-10, DCR-09)."""

import json
from typing import Any

import pytest

from authsvc.errors import InvalidValue
from authsvc.models import ApplicationType, SubjectType
from authsvc.protocol.sectors import check_document, check_sector, sector_of
from tests.protocol.asking import a_client

PAIRWISE: dict[str, Any] = {"subject_type": SubjectType.PAIRWISE}
URI = "https://sector.example/uris.json"
ONE_HOST = ("https://client.example/cb", "https://client.example:8443/other")
TWO_HOSTS = ("https://client.example/cb", "https://other.example/cb")
NATIVE: dict[str, Any] = {"application_type": ApplicationType.NATIVE}

SECTORS: list[tuple[str, dict[str, Any], str | None]] = [
    ("public", {}, None),
    ("public, with a sector for later", {"sector_identifier_uri": URI}, None),
    ("the host of a redirect URI", PAIRWISE, "client.example"),
    ("one host at two ports", PAIRWISE | {"redirect_uris": ONE_HOST}, "client.example"),
    ("an address", PAIRWISE | {"redirect_uris": ("https://[2606:4700::1]/cb",)}, "2606:4700::1"),
    ("a sector", PAIRWISE | {"sector_identifier_uri": URI}, "sector.example"),
    ("a sector of two hosts", PAIRWISE | {"redirect_uris": TWO_HOSTS, "sector_identifier_uri": URI}, "sector.example"),
    ("a sector of an app",
     PAIRWISE | NATIVE | {"redirect_uris": ("com.example.app:/cb",), "sector_identifier_uri": URI}, "sector.example"),
    ("a sector and no redirect URI", PAIRWISE | {"redirect_uris": (), "sector_identifier_uri": URI}, "sector.example"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "sector"), [pytest.param(s, h, id=name) for name, s, h in SECTORS])
def test_a_client_is_of_one_sector(settings: dict[str, Any], sector: str | None) -> None:
    client = a_client(**settings)
    check_sector(client)
    assert sector_of(client) == sector


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("two hosts", PAIRWISE | {"redirect_uris": TWO_HOSTS}),
    ("no host", PAIRWISE | {"redirect_uris": ()}),
    ("a loopback that everybody has", PAIRWISE | NATIVE | {"redirect_uris": ("http://127.0.0.1/cb",)}),
    ("a scheme", PAIRWISE | NATIVE | {"redirect_uris": ("com.example.app:/cb",)}),
    ("a scheme beside a host", PAIRWISE | NATIVE | {"redirect_uris": ("https://client.example/cb", "com.example:/cb")}),
    *(
        (uri, kind | {"sector_identifier_uri": uri})
        for uri in (
            "http://sector.example/",
            "sector.example",
            "https://user@sector.example/",
            "https://S.example/",
            "",
        )
        for kind in (PAIRWISE, {})
    ),
]


@pytest.mark.parametrize(
    "settings", [pytest.param(each, id=f"{number} {name}") for number, (name, each) in enumerate(REFUSED)]
)
def test_a_client_without_a_sector_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue) as refused:
        check_sector(a_client(**settings))
    assert refused.value.pointer == "/sector_identifier_uri"


@pytest.mark.parametrize("uris", [(), TWO_HOSTS, ("com.example.app:/cb",), ("http://127.0.0.1/cb",)], ids=str)
def test_one_that_was_never_checked_shares_its_sector_with_nobody(uris: tuple[str, ...]) -> None:
    """Whoever wrote the row: no client learns by it what another calls its users, least of all what we do."""
    assert sector_of(a_client(redirect_uris=uris, **PAIRWISE)) == "cli_1"


LISTED = [
    list(ONE_HOST),
    [*TWO_HOSTS, *ONE_HOST, "and more"],
]
UNLISTED = [b"[]", b'["https://client.example/cb"]', b"{}", b"[1]", b"null", b"<html>", b"", b'"x"', b'["\xff"]',
            b"[" * 60_000, json.dumps({"redirect_uris": ONE_HOST}).encode(),
            json.dumps([ONE_HOST[0] + "/", ONE_HOST[1].upper()]).encode()]  # fmt: skip


@pytest.mark.parametrize("listed", LISTED, ids=len)
def test_a_document_speaks_for_the_redirect_uris_that_it_lists(listed: list[str]) -> None:
    check_document(json.dumps(listed).encode(), ONE_HOST)


@pytest.mark.parametrize("document", UNLISTED, ids=lambda document: document[:30].decode("latin-1"))
def test_and_for_no_others(document: bytes) -> None:
    with pytest.raises(InvalidValue) as refused:
        check_document(document, ONE_HOST)
    assert refused.value.pointer == "/sector_identifier_uri"
