"""From what an operator has set to the values that the rules take."""

from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from authsvc.models import Limiter
from authsvc.protocol.colours import parse_colour
from authsvc.protocol.jwa import ALGORITHMS
from authsvc.protocol.limits import Limit
from authsvc.protocol.passwords import PasswordRules, parse_common, words_of_issuer
from authsvc.protocol.peppers import Peppers, parse_pepper
from authsvc.protocol.rotation import Policy
from authsvc.settings import Settings
from authsvc.web.pages.brand import Brand, read_folder, read_logo
from authsvc.web.pages.renderer import Pages


def rotation_of(settings: Settings) -> Policy:
    """Every algorithm has a set: RS256 because every OpenID provider signs with it, the others because at any time a
    client may be given ID tokens of them, or the access tokens be signed with them."""
    days = settings.key_rotation_days
    return Policy(
        algorithms=ALGORITHMS,
        jwks_max_age=timedelta(seconds=settings.jwks_max_age),
        rotation=timedelta(days=days) if days else None,
    )


def limits_of(settings: Settings) -> dict[Limiter, Limit]:
    """The limits that are set."""
    window, minute = settings.attempt_window_seconds, 60
    numbers = {
        Limiter.LOGIN: (settings.login_attempts, window),
        Limiter.LOGIN_ACCOUNT: (settings.login_attempts_per_account, window),
        Limiter.LOGIN_ADDRESS: (settings.login_attempts_per_address, window),
        Limiter.PASSWORD: (settings.login_attempts, window),
        Limiter.REGISTRATION: (settings.registrations_per_address, window),
        Limiter.CLIENT_AUTHENTICATION: (settings.client_failures, window),
        Limiter.TOKEN: (settings.client_requests_per_minute, minute),
        Limiter.REVOCATION: (settings.client_requests_per_minute, minute),
        Limiter.PUSHED_REQUEST: (settings.pushed_requests_per_minute, minute),
        Limiter.INTROSPECTION: (settings.introspections_per_minute, minute),
    }
    return {limiter: Limit(attempts, seconds) for limiter, (attempts, seconds) in numbers.items() if attempts}


def peppers_of(settings: Settings) -> Peppers:
    texts = (settings.password_pepper, settings.password_pepper_previous)
    return Peppers(*(None if text is None else parse_pepper(text) for text in texts))


def password_rules_of(settings: Settings) -> PasswordRules:
    common = files("authsvc.protocol").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return PasswordRules(
        min_length=settings.password_min_length,
        common=parse_common(common),
        service=words_of_issuer(settings.issuer),
    )


def pages_of(settings: Settings) -> Pages:
    """Raises ConfigurationError: the logo or something in the operator's folder is of no use."""
    brand = Brand(
        name=settings.resolved_brand_name,
        colour=parse_colour(settings.brand_color),
        logo=None if settings.brand_logo is None else read_logo(Path(settings.brand_logo)),
    )
    folder = None if settings.pages_dir is None else read_folder(Path(settings.pages_dir))
    return Pages(brand, folder, base_path=urlsplit(settings.issuer).path)
