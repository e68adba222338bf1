"""Who takes part in a run: clients, and a user."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from authsvc.metrics import Metrics
from authsvc.migrate import migrate
from authsvc.models import GrantType
from authsvc.protocol.accounts import RegistrationRequest
from authsvc.protocol.clients import ClientRegistration
from authsvc.settings import load
from authsvc.wiring import open_flows

RESOURCE = "https://orders.example"
SERVICES = 8
"""Clients that the tokens are issued to, in turn."""
EMAIL, PASSWORD = "ada@example.com", "correct horse battery staple"

Credentials = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cast:
    services: tuple[Credentials, ...]
    resource_server: Credentials
    """Which the tokens are for."""
    stranger: Credentials


async def prepare(settings: Mapping[str, str]) -> Cast:
    """The schema, the signing keys, and everybody. Nobody holds the database any more when this returns."""
    await migrate(settings["AUTHSVC_DATABASE_URL"])
    async with open_flows(load(settings), Metrics(CollectorRegistry()), keeps_fresh=False, with_jobs=False) as flows:

        async def client(name: str, audiences: tuple[str, ...] = (), serves: tuple[str, ...] = ()) -> Credentials:
            made, secret = await flows.clients.create(
                ClientRegistration(
                    name=name, grant_types=(GrantType.CLIENT_CREDENTIALS,), scope="read write",
                    audiences=audiences, serves=serves,
                )
            )  # fmt: skip
            return made.client_id, secret or ""

        await flows.registration.register(RegistrationRequest(EMAIL, PASSWORD), None)
        return Cast(
            services=tuple([await client(f"service {number}", audiences=(RESOURCE,)) for number in range(SERVICES)]),
            resource_server=await client("orders", serves=(RESOURCE,)),
            stranger=await client("stranger"),
        )
