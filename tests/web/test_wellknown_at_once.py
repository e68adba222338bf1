"""Documents without a task: where they cannot be told yet, nothing is taken and nothing is counted."""

from typing import Any

from authsvc.entropy import SystemEntropy
from authsvc.errors import Unavailable
from authsvc.web.middleware import Observer
from authsvc.web.wellknown import Document, DocumentAtOnce
from tests.house_of import House
from tests.web.asked import PLAIN_GET, Asked


def in_progress(house: House) -> float:
    gauge: Any = house.metrics.requests_in_progress
    return float(gauge._value.get())


async def test_keys_that_were_never_read_are_left_to_the_long_way(shared: House) -> None:
    def find(_: object) -> Document:
        raise Unavailable

    taker = DocumentAtOnce(find, Observer(shared.metrics, SystemEntropy(), is_https=False), "/jwks")
    request = Asked(PLAIN_GET, b"")
    request.scope["state"] = {}
    assert not taker(request)
    assert (request.told, in_progress(shared)) == ([], 0)


async def test_keys_that_were_never_read_are_overdue(shared: House) -> None:
    flows, ring = shared.flows, shared.flows.keys._ring
    short = (flows.introspection._recognition, flows.service_tokens._issuance)
    assert (short[0].is_up_to_date, short[1].find_signer() is None) == (True, False)
    flows.keys._ring = None
    try:
        assert (short[0].is_up_to_date, short[1].find_signer() is None) == (False, True)
    finally:
        flows.keys._ring = ring
