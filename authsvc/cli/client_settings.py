"""The options of `authsvc client create` and `update` for clients that send their users here, and for their keys."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from authsvc.models import ApplicationType, ConsentPolicy, SubjectType
from authsvc.protocol.client_keys import ALGORITHMS as CLIENT_ALGORITHMS
from authsvc.protocol.clients import SignInSettings
from authsvc.protocol.jwa import ALGORITHMS


class _Seconds(click.ParamType[Any]):
    """A number of seconds; an empty text is none."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return click.INT.convert(value, param, ctx) if value != "" else value


class _KeySet(click.ParamType[Any]):
    """A file with a JWK set; an empty text is none."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str) or value == "":
            return value
        try:
            return msgspec.json.decode(Path(value).read_bytes(), type=dict[str, Any])
        except OSError as error:
            self.fail(f"{value} cannot be read: {type(error).__name__}", param, ctx)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.fail(f"{value} holds no JSON object", param, ctx)


_OPTIONS = (
    click.option(
        "--redirect-uri",
        "redirect_uris",
        multiple=True,
        help="Where it may be sent its answers. Repeatable; '' is none.",
    ),
    click.option(
        "--post-logout-redirect-uri",
        "post_logout_redirect_uris",
        multiple=True,
        help="Where it may have its users sent when they have logged out here. Repeatable; '' is none.",
    ),
    click.option(
        "--backchannel-logout-uri",
        help="Where it is told, by https, that its users' sessions have ended; '' is nowhere.",
    ),
    click.option(
        "--backchannel-logout-session-required/--no-backchannel-logout-session-required",
        default=None,
        help="Whether it has to be told by the name of the session. It always is.",
    ),
    click.option(
        "--application-type",
        type=click.Choice([str(each) for each in ApplicationType]),
        help="Where it runs. native: on the user's device; may use http on the loopback and a scheme of its own.",
    ),
    click.option(
        "--require-pkce/--no-require-pkce", default=None, help="Whether each of its requests needs PKCE. Default: yes."
    ),
    click.option(
        "--id-token-signed-response-alg",
        "id_token_algorithm",
        type=click.Choice(ALGORITHMS),
        help="What its ID tokens are signed with. Default: RS256.",
    ),
    click.option(
        "--userinfo-signed-response-alg",
        "userinfo_algorithm",
        type=click.Choice(["", *ALGORITHMS]),
        help="What UserInfo for it is signed with. Default: '', plain JSON.",
    ),
    click.option(
        "--introspection-signed-response-alg",
        "introspection_algorithm",
        type=click.Choice(ALGORITHMS),
        help="What answers to its introspections are signed with, where it asks for signed ones. Default: RS256.",
    ),
    click.option(
        "--consent",
        type=click.Choice([str(each) for each in ConsentPolicy]),
        help="When users are asked: always; once (remember, the default); never, for you vouch for it.",
    ),
    click.option("--logo-uri", help="Its picture, by https; '' is none."),
    click.option("--client-uri", help="Its page, by https; '' is none."),
    click.option("--policy-uri", help="What it does with data, by https; '' is none."),
    click.option("--tos-uri", help="Its terms of service, by https; '' is none."),
    click.option(
        "--default-max-age",
        type=_Seconds(),
        help="After how many seconds a login is too old for it, where its request names none; '' is never.",
    ),
    click.option(
        "--require-auth-time/--no-require-auth-time", default=None, help="Whether its ID tokens always tell auth_time."
    ),
    click.option(
        "--jwks-file",
        "jwks",
        type=_KeySet(),
        help="A file with its public keys, as a JWK set; '' is none.",
    ),
    click.option("--jwks-uri", help="Where its public keys are, by https; '' is none."),
    click.option(
        "--token-endpoint-auth-signing-alg",
        "assertion_algorithm",
        type=click.Choice(["", *CLIENT_ALGORITHMS]),
        help="What it signs to prove itself, with private_key_jwt. Default: '', any of these.",
    ),
    click.option(
        "--request-object-signing-alg",
        "request_object_algorithm",
        type=click.Choice(["", *CLIENT_ALGORITHMS]),
        help="What it signs its authorization requests with. Default: '', any of these.",
    ),
    click.option(
        "--require-pushed-authorization-requests/--no-require-pushed-authorization-requests",
        "require_pushed_request",
        default=None,
        help="Whether it has to push its authorization requests. Default: no.",
    ),
    click.option(
        "--require-signed-request-object/--no-require-signed-request-object",
        "require_signed_request",
        default=None,
        help="Whether it has to sign them. Default: no.",
    ),
    click.option(
        "--subject-type",
        type=click.Choice([str(each) for each in SubjectType]),
        help="What it calls users: as every client does (public, the default), or by names of its sector (pairwise).",
    ),
    click.option(
        "--sector-identifier-uri",
        help="Where the redirect URIs of its sector are listed, by https. Default: '', the host of its redirect URIs.",
    ),
)
_NAMES = tuple(SignInSettings.__annotations__)
_NOT_NAMED = (None, ())


def sign_in_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command these options; it is called with `settings`, which holds those that were named."""

    @functools.wraps(command)
    def wrapped(**arguments: Any) -> None:
        values = {name: arguments.pop(name) for name in _NAMES}
        command(settings=_settings(values), **arguments)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _settings(values: dict[str, Any]) -> SignInSettings:
    """Those that were named, with nothing in the place of an empty text."""
    named: dict[str, Any] = {
        name: None if value == "" else value for name, value in values.items() if value not in _NOT_NAMED
    }
    for name in ("redirect_uris", "post_logout_redirect_uris"):
        if name in named:
            named[name] = [uri for uri in named[name] if uri]
    return msgspec.convert(named, SignInSettings)
