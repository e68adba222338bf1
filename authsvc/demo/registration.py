"""What a website has to know: its registration at the service."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Registration:
    """What the operator of the service has given us (`authsvc client create`)."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
