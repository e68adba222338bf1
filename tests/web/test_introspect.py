"""POST /oauth2/introspect (spec: INT-*, ATK-23 to ATK-36)."""

from tests.house_of import House


async def test_a_live_token_is_described_to_its_own_client(house: House) -> None:
    client = await house.client(scope="read write")
    told = await house.introspect(client, await house.token(client, scope="read"))
    assert told["active"] is True
    assert told["scope"] == "read"
    assert told["client_id"] == told["sub"] == client.client_id
