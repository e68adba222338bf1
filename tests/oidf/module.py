"""One run of one module: a browser without a past, and what the suite does with it as a client.

The browser does what the suite has its own do: it fills in `username` and `password`, presses `login-submit` and
`consent-allow`, runs the one script that a page of ours may have, and keeps away from what it finds by no id.
"""

import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from tests.house_of import PASSWORD
from tests.oidf.checks import check_arrived, check_tokens, check_userinfo, read_id_token
from tests.oidf.provider import CALLBACK, EMAIL, Provider, SuiteClient
from tests.web.browsing import hidden
from tests.web.markup import find


@dataclass
class Module:
    provider: Provider
    http: httpx2.Client
    mode: str
    shown: list[str] = field(default_factory=list)
    """The pages that were shown, in their order."""

    def __post_init__(self) -> None:
        self.client = self.provider.basic

    # --- The authorization endpoint

    def request(self, **changes: str | None) -> dict[str, str]:
        """A request of the suite, but for the changes; None leaves a parameter out."""
        parameters: dict[str, str | None] = {
            "client_id": self.client.client_id,
            "redirect_uri": CALLBACK,
            "scope": "openid",
            "state": secrets.token_urlsafe(16),
            "nonce": secrets.token_urlsafe(16),
            "response_type": "code",
            "response_mode": "form_post" if self.mode == "form_post" else None,
        }
        return {name: value for name, value in (parameters | changes).items() if value is not None}

    def send(
        self, sent: dict[str, str], method: str = "GET", asked: dict[str, str] | None = None
    ) -> dict[str, str] | httpx2.Response:
        """What arrives at the client in the end, or the page of ours at which it ends. `asked` is what counts, where it
        is not what is sent."""
        asked = asked or sent
        url = self.provider.metadata["authorization_endpoint"]
        answer = self.http.get(url, params=sent) if method == "GET" else self.http.post(url, data=sent)
        for _ in range(10):
            if answer.is_redirect:
                location = answer.headers["location"]
                if location.startswith(CALLBACK):
                    assert asked.get("response_mode") != "form_post"
                    arrived = _read_query(location)
                    check_arrived(arrived, asked, self.provider.issuer)
                    return arrived
                answer = self.http.get(location)
                continue
            buttons = {each.attributes.get("id") for each in find(answer.text, "button")}
            if "form-post-continue" in buttons:
                assert asked.get("response_mode") == "form_post"
                arrived = _read_form(answer)
                check_arrived(arrived, asked, self.provider.issuer)
                return arrived
            if "login-submit" in buttons:
                self.shown.append("login")
                answer = self._press(answer, "login-submit", username=EMAIL, password=PASSWORD)
            elif "consent-allow" in buttons:
                self.shown.append("consent")
                answer = self._press(answer, "consent-allow")
            else:
                self.shown.append("error")
                return answer
        raise AssertionError("it leads around in circles")

    def _press(self, page: httpx2.Response, button_id: str, **fields: str) -> httpx2.Response:
        assert page.status_code == 200, page.text
        assert page.headers["content-type"].startswith("text/html")
        (form,) = find(page.text, "form")
        (button,) = find(page.text, "button", id=button_id)
        for name in fields:
            assert find(page.text, "input", id=name, name=name)
        if (own := button.attributes.get("name")) is not None:
            fields[own] = str(button.attributes["value"])
        headers = {"origin": self.provider.issuer}
        return self.http.post(str(form.attributes["action"]), data=hidden(page) | fields, headers=headers)

    def log_out(self, **sent: str) -> str | httpx2.Response:
        """Where the user arrives in the end who is sent to be logged out, and is asked where they are: at the client,
        or at a page of ours."""
        answer = self.http.get(self.provider.metadata["end_session_endpoint"], params=sent)
        for _ in range(5):
            if answer.is_redirect:
                location = answer.headers["location"]
                if not location.startswith(("/", self.provider.issuer)):
                    return str(location)
                answer = self.http.get(location)
            elif find(answer.text, "button", id="logout-confirm"):
                self.shown.append("logout")
                answer = self._press(answer, "logout-confirm")
            else:
                self.shown.append("error" if answer.status_code >= 400 else "logged out")
                return answer
        raise AssertionError("it leads around in circles")

    def is_logged_out(self) -> bool:
        """By what `prompt=none` comes to."""
        return self.fail(self.request(prompt="none")) == "login_required"

    def arrive(self, asked: dict[str, str], method: str = "GET") -> str:
        """The code."""
        arrived = self.send(asked, method)
        assert isinstance(arrived, dict), arrived.text
        assert "code" in arrived, arrived
        return arrived["code"]

    def fail(self, sent: dict[str, str], asked: dict[str, str] | None = None) -> str:
        """The error that the client is told."""
        arrived = self.send(sent, asked=asked)
        assert isinstance(arrived, dict), arrived.text
        return arrived["error"]

    # --- The client

    def post(self, form: dict[str, str], client: SuiteClient | None = None) -> httpx2.Response:
        """To the token endpoint, with the client's own proof."""
        client = client or self.client
        url = self.provider.metadata["token_endpoint"]
        if client.method == "client_secret_post":
            return self.provider.http.post(
                url, data=form | {"client_id": client.client_id, "client_secret": client.secret}
            )
        return self.provider.http.post(url, data=form, auth=(client.client_id, client.secret))

    def redeem(self, code: str, **more: str) -> httpx2.Response:
        return self.post({"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK} | more)

    def tokens(self, method: str = "GET", **changes: str | None) -> dict[str, Any]:
        """All the way, once: the token response, with the claims of its ID token as `told`."""
        asked = self.request(**changes)
        tokens = check_tokens(self.redeem(self.arrive(asked, method)))
        tokens["told"] = read_id_token(self.provider, tokens, self.client.client_id, asked.get("nonce"))
        return tokens

    def ask_userinfo(self, token: str, method: str = "GET") -> httpx2.Response:
        url = self.provider.metadata["userinfo_endpoint"]
        return self.provider.http.request(method, url, headers={"authorization": f"Bearer {token}"})

    def userinfo(self, tokens: dict[str, Any]) -> dict[str, Any]:
        return check_userinfo(self.provider, self.ask_userinfo(tokens["access_token"]))


def _read_query(location: str) -> dict[str, str]:
    parts = urlsplit(location)
    assert not parts.fragment
    return _once_each(parse_qs(parts.query, strict_parsing=True))


def _read_form(page: httpx2.Response) -> dict[str, str]:
    """The page sends itself, and puts nothing into the address."""
    (form,) = find(page.text, "form")
    assert form.attributes == {"method": "post", "action": CALLBACK}
    assert [each.text.strip(" ;\n") for each in find(page.text, "script")] == ["document.forms[0].submit()"]
    assert "no-store" in page.headers["cache-control"]
    fields = [each.attributes for each in find(page.text, "input")]
    assert len({each["name"] for each in fields}) == len(fields)
    return {str(each["name"]): str(each["value"]) for each in fields}


def _once_each(told: dict[str, list[str]]) -> dict[str, str]:
    assert all(len(values) == 1 for values in told.values())
    return {name: values[0] for name, values in told.items()}
