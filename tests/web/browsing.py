"""A browser, as far as the pages need one: it keeps cookies, follows nothing by itself, and fills in forms."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from authsvc.models import Client, GrantType
from tests.house_of import ISSUER, PASSWORD, House
from tests.signing import Hand
from tests.web.markup import find

CALLBACK = "https://client.example/cb"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
EMAIL = "ada@example.com"
SCOPE = "openid profile email offline_access read"


PUSHES: dict[str, Any] = {
    "grant_types": (GrantType.CLIENT_CREDENTIALS, GrantType.AUTHORIZATION_CODE), "redirect_uris": (CALLBACK,)
}  # fmt: skip
"""What a client is registered with that may push what stands below."""
PUSHED = {"response_type": "code", "code_challenge": CHALLENGE, "code_challenge_method": "S256"}


async def a_client(house: House, **registration: Any) -> Client:
    """A client that sends its users here."""
    asked: dict[str, Any] = {
        "grant_types": (GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN),
        "scope": SCOPE,
        "redirect_uris": (CALLBACK,),
    }
    return await house.client(**(asked | registration))


def asking(client: Client, **changes: str | None) -> dict[str, str]:
    """A good request of this client, but for the changes; None leaves a parameter out."""
    parameters: dict[str, str | None] = {
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uris[0],
        "response_type": "code",
        "scope": "openid read",
        "state": "the state",
        "nonce": "the nonce",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    return {name: value for name, value in (parameters | changes).items() if value is not None}


def an_object(house: House, client: Client, hand: Hand, typ: str = "oauth-authz-req+jwt", **changes: Any) -> str:
    """The same, signed. Whatever can stand in a request object may be changed."""
    now = int(house.clock.unix())
    claims = {"iss": client.client_id, "aud": ISSUER, "iat": now, "exp": now + 60, **asking(client)} | changes
    return hand.sign({name: value for name, value in claims.items() if value is not None}, typ=typ)


@dataclass
class Browser:
    house: House
    http: httpx2.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        """With cookies of its own."""
        transport = self.house.http._transport
        self.http = httpx2.AsyncClient(transport=transport, base_url=self.house.settings.issuer)

    async def authorize(self, client: Client, **changes: str | None) -> httpx2.Response:
        """Where a client's request leads in the end: to a page, or out to the client."""
        return await self.follow(await self.http.get("/oauth2/authorize", params=asking(client, **changes)))

    async def ask(self, client: Client, parameters: dict[str, str]) -> httpx2.Response:
        """A request of these parameters, and what is answered first."""
        return await self.http.get("/oauth2/authorize", params={"client_id": client.client_id, **parameters})

    async def follow(self, answer: httpx2.Response) -> httpx2.Response:
        """As long as it is led around in here."""
        while answer.status_code == 303 and not answer.headers["location"].startswith("https://"):
            assert answer.headers["location"].startswith("/"), answer.headers["location"]
            answer = await self.http.get(answer.headers["location"])
        return answer

    async def submit(self, page: httpx2.Response, **more: str) -> httpx2.Response:
        """The form of a page, with its hidden fields and these; and where that leads."""
        return await self.follow(await self.send(page, more))

    async def send(
        self, page: httpx2.Response, fields: dict[str, str], headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        """And what is answered first."""
        (form,) = find(page.text, "form", method="post")
        headers = {"sec-fetch-site": "same-origin"} if headers is None else headers
        return await self.http.post(str(form.attributes["action"]), data=hidden(page) | fields, headers=headers)

    async def send_logout(self, page: httpx2.Response) -> httpx2.Response:
        """The button that every page of the account has."""
        (form,) = find(page.text, "form", action="/account/logout")
        token = find(page.text, "input", name="token")[0].attributes["value"]
        same = {"sec-fetch-site": "same-origin"}
        return await self.http.post(str(form.attributes["action"]), data={"token": token}, headers=same)

    async def log_in(self, page: httpx2.Response, email: str = EMAIL, password: str = PASSWORD) -> httpx2.Response:
        return await self.submit(page, username=email, password=password)

    async def code(self, client: Client, email: str = EMAIL, **changes: str | None) -> str:
        """All the way."""
        page = await self.authorize(client, **changes)
        if find(page.text, "button", id="login-submit"):
            page = await self.log_in(page, email)
        if find(page.text, "button", id="consent-allow"):
            page = await self.submit(page, answer="allow")
        return answer_of(page)["code"]

    async def redeem(self, client: Client, code: str, **changes: str | None) -> httpx2.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": client.redirect_uris[0],
            "code_verifier": VERIFIER,
            **({"client_id": client.client_id} if client.is_public else {}),
        }
        sent = {name: value for name, value in (form | changes).items() if value is not None}
        if client.is_public:
            return await self.house.http.post("/oauth2/token", data=sent)
        return await self.house.http.post("/oauth2/token", data=sent, auth=self.house.basic(client))


def hidden(page: httpx2.Response) -> dict[str, str]:
    found = find(page.text, "input", type="hidden")
    return {str(each.attributes["name"]): str(each.attributes["value"]) for each in found}


def answer_of(answer: httpx2.Response) -> dict[str, str]:
    """What a client is told by a redirect."""
    assert answer.status_code == 303, (answer.status_code, answer.text)
    parts = urlsplit(answer.headers["location"])
    assert not parts.fragment
    told = parse_qs(parts.query, strict_parsing=True)
    assert all(len(values) == 1 for values in told.values())
    return {name: values[0] for name, values in told.items()}
