"""Fetch §3, Fetch Metadata §2.2: whether a script that asks with the cookie of a session is one of an app of ours."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fetch:
    """What a browser says of a request by itself: no script can."""

    site: str | None
    """`Sec-Fetch-Site`; None: the browser is too old for it, or it is no browser."""
    origins: tuple[str, ...]
    """Every `Origin`."""

    @property
    def is_of_page(self) -> bool:
        """Whether a page asked. Who says nothing of it is most likely no browser."""
        return bool(self.origins) or self.site in {"same-origin", "same-site", "cross-site"}


def is_from_app(fetch: Fetch, own: str, listed: Collection[str]) -> bool:
    """Whether the page that asks is of our own origin, or of one that is listed, letter by letter (ATK-61, ATK-64).

    Which of the two is `same-origin` depends on who was asked: this service, or a gateway on another port. From
    elsewhere a browser sends no `SameSite` cookie; who says otherwise is no browser. What no page asked for (`none`: an
    address that was typed, or a bookmark) is no app either.
    """
    if len(fetch.origins) > 1:
        return False
    origin = next(iter(fetch.origins), None)
    if origin is None:
        return fetch.site == "same-origin"  # with GET a browser leaves it out
    return fetch.site in {"same-origin", "same-site", None} and (origin == own or origin in listed)
