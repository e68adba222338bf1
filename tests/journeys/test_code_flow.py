"""A website that sends its users here, with libraries that are not ours: Authlib asks and redeems, PyJWT verifies, a
browser without JavaScript goes from page to page."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import jwt
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oauth2.rfc6749.parameters import parse_authorization_code_response

from tests.house_of import PASSWORD
from tests.journeys import fetch
from tests.journeys.service import Service, serving
from tests.web.browsing import hidden
from tests.web.markup import find

CALLBACK = "https://site.example/cb?from=authsvc"
VERIFIER = "a-verifier-of-at-least-forty-three-letters-012345"
SCOPE = "openid profile email offline_access"
COPIED = '{"error":"invalid_grant","error_description":"the code is not valid"}'


class Site:
    """The website, and the browser of one of its users."""

    def __init__(self, service: Service) -> None:
        self.service = service
        made = service.cli("client", "create", "--name", "Site", "--grant", "authorization_code",
                           "--grant", "refresh_token", "--redirect-uri", CALLBACK, "--scope", SCOPE)  # fmt: skip
        self.id, self.secret = made["client_id"], made["client_secret"]
        self.metadata: dict[str, Any] = fetch.get(f"{service.base}/.well-known/openid-configuration").json()
        self.browser = httpx2.Client(base_url=service.base)

    def client(self, scope: str = SCOPE) -> OAuth2Client:
        return OAuth2Client(
            self.id, self.secret, scope=scope, redirect_uri=CALLBACK, code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic",
        )  # fmt: skip

    def send_user(self, client: OAuth2Client, email: str, **more: str) -> tuple[str, str]:
        """To the service and back: the address that the browser comes back to, and the state that was sent."""
        url, state = client.create_authorization_url(
            self.metadata["authorization_endpoint"], code_verifier=VERIFIER, nonce="the nonce", **more
        )
        answer = self.browser.get(url)
        while not answer.headers.get("location", "").startswith("https://site.example/"):
            if answer.status_code == 303:
                answer = self.browser.get(answer.headers["location"])
                continue
            assert answer.status_code == 200, answer.text
            (form,) = find(answer.text, "form")
            is_login = bool(find(answer.text, "input", id="username"))
            filled = {"username": email, "password": PASSWORD} if is_login else {"answer": "allow"}
            answer = self.browser.post(str(form.attributes["action"]), data=hidden(answer) | filled)
        return answer.headers["location"], state

    def log_in(self, email: str, scope: str = SCOPE, **more: str) -> dict[str, Any]:
        """The tokens."""
        with self.client(scope) as client:
            came_back, state = self.send_user(client, email, **more)
            told = parse_authorization_code_response(came_back, state=state)
            assert told["iss"] == self.metadata["issuer"]
            assert told["from"] == "authsvc"
            tokens: dict[str, Any] = client.fetch_token(
                self.metadata["token_endpoint"], authorization_response=came_back, state=state, code_verifier=VERIFIER
            )
            self.last = came_back
            return tokens

    def redeem_at_once(self, email: str, times: int) -> list[httpx2.Response]:
        """One code, so many times, on connections of their own."""
        with self.client() as client:
            came_back, state = self.send_user(client, email)
        form = {
            "grant_type": "authorization_code",
            "code": parse_authorization_code_response(came_back, state=state)["code"],
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
        }
        ready = threading.Barrier(times)

        def redeem() -> httpx2.Response:
            ready.wait(30)
            return fetch.post(self.metadata["token_endpoint"], data=form, auth=(self.id, self.secret))

        with ThreadPoolExecutor(times) as copies:
            return [each.result() for each in [copies.submit(redeem) for _ in range(times)]]

    def is_active(self, token: str) -> bool:
        return bool(self.service.introspect((self.id, self.secret), token).json()["active"])


def test_a_website_logs_its_users_in_and_what_revokes_them_revokes_that(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path / "log", "--migrate", "--workers", "2") as service:
        subs = {}
        for email in ("ada@example.com", "bob@example.com"):
            subs[email] = service.cli("user", "create", "--email", email, "--password-stdin", stdin=PASSWORD)["sub"]
        site = Site(service)
        tokens = site.log_in("ada@example.com")
        key = jwt.PyJWKClient(site.metadata["jwks_uri"]).get_signing_key_from_jwt(tokens["id_token"])
        told = jwt.decode(
            tokens["id_token"], key, algorithms=["RS256"], audience=site.id, issuer=site.metadata["issuer"]
        )
        assert (told["sub"], told["nonce"]) == (subs["ada@example.com"], "the nonce")
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert fetch.get(site.metadata["userinfo_endpoint"], headers=bearer).json()["email"] == "ada@example.com"
        assert site.is_active(tokens["access_token"])

        # A copy of the code: what came of it is dead, on every worker.
        with site.client() as thief:
            try:
                thief.fetch_token(
                    site.metadata["token_endpoint"], authorization_response=site.last, code_verifier=VERIFIER
                )
                raise AssertionError("the code is good twice")
            except OAuthError as error:
                assert error.error == "invalid_grant"
        assert not any(site.is_active(tokens["access_token"]) for _ in range(6))

        # The session goes on, and nobody is asked again. It is another user's when that one logs in.
        with site.client() as client:
            location, _ = site.send_user(client, "", prompt="none")
            assert "code=" in location
        online = site.log_in("ada@example.com", "openid email")
        assert "refresh_token" not in online
        offline = site.log_in("ada@example.com")
        bobs = site.log_in("bob@example.com", prompt="select_account")
        assert jwt.decode(bobs["id_token"], options={"verify_signature": False})["sub"] == subs["bob@example.com"]
        assert not any(site.is_active(online["access_token"]) for _ in range(6)), "with its session"
        assert site.is_active(offline["access_token"]), "which has none"

        with site.client() as client:
            again = client.refresh_token(site.metadata["token_endpoint"], refresh_token=offline["refresh_token"])
        assert site.is_active(again["access_token"])
        service.cli("user", "revoke-tokens", "ada@example.com")
        assert not any(site.is_active(again["access_token"]) for _ in range(6))
        assert site.is_active(bobs["access_token"])

        # Fifty copies of one code at once, on both workers: one is first, and the others end what it was given.
        answers = site.redeem_at_once("ada@example.com", 50)  # COD-03, COD-04, ATK-77
        (won,) = [answer.json() for answer in answers if answer.status_code == 200]
        assert {answer.text for answer in answers if answer.status_code != 200} == {COPIED}
        assert not any(site.is_active(won["access_token"]) for _ in range(6))
        form = {"grant_type": "refresh_token", "refresh_token": won["refresh_token"]}
        refused = fetch.post(site.metadata["token_endpoint"], data=form, auth=(site.id, site.secret))
        assert refused.json()["error"] == "invalid_grant"
        site.browser.close()
