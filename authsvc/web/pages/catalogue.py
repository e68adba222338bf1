"""What the pages say, in each language: files of words, ours and those that the operator puts over them."""

import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from string import Formatter
from typing import Any

from markupsafe import Markup, escape

DEFAULT = "en"
"""Has every word; what another language lacks is said in this one."""
SCOPES = "scopes."
"""Below it stand the words for scopes, which operators may invent."""

Texts = Mapping[str, str]


class Words:
    """The words of one language."""

    def __init__(self, language: str, texts: Texts) -> None:
        self.language = language
        self._texts = texts
        self._months = texts["page.months"].split()

    def __call__(self, key: str, **values: object) -> Markup:
        """The text of that key with the values put in: both are escaped, but for what is Markup already."""
        return escape(self._texts[key]).format(**values)

    def scope(self, scope: str) -> Markup:
        """What a client may do with it, in words."""
        text = self._texts.get(SCOPES + scope)
        return self("scope.other", scope=scope) if text is None else escape(text)

    def time(self, moment: datetime) -> Markup:
        """To the minute, in UTC: a server does not know where its reader is. The page's script tells the local time."""
        return self._moment("page.time", moment, "%Y-%m-%dT%H:%M:%SZ")

    def date(self, moment: datetime) -> Markup:
        return self._moment("page.date", moment, "%Y-%m-%d")

    def wait(self, seconds: int) -> Markup:
        """When to try again."""
        minutes = -(-seconds // 60)
        if seconds < 30:
            return self("page.wait_seconds")
        return self("page.wait_minute") if minutes == 1 else self("page.wait_minutes", minutes=minutes)

    def _moment(self, key: str, moment: datetime, form: str) -> Markup:
        text = self(
            key, day=moment.day, month=self._months[moment.month - 1], year=moment.year,
            hour=f"{moment:%H}", minute=f"{moment:%M}",
        )  # fmt: skip
        return Markup('<time datetime="{}">{}</time>').format(moment.strftime(form), text)


def build_catalogue(own: Mapping[str, Texts], operators: Mapping[str, Texts]) -> dict[str, Words]:
    """Every language that there is, the default one first."""
    languages = [DEFAULT, *sorted((own.keys() | operators.keys()) - {DEFAULT})]
    return {
        each: Words(each, {**own[DEFAULT], **own.get(each, {}), **operators.get(each, {})}) for each in languages
    }  # fmt: skip


@lru_cache(maxsize=1)
def own_texts() -> dict[str, Texts]:
    """The files in `words/`, by language."""
    folder = files("authsvc.web.pages").joinpath("words")
    found = {file.name.removesuffix(".toml"): file for file in folder.iterdir() if file.name.endswith(".toml")}
    return {language: parse_texts(file.read_text(encoding="utf-8")) for language, file in found.items()}


def parse_texts(text: str) -> dict[str, str]:
    """`[login]` with `title = "Log in"` becomes `login.title`.

    Raises:
        ValueError: it is no TOML, or something in it is no text.
    """
    return dict(_flat("", tomllib.loads(text)))


def find_faults(texts: Texts) -> list[str]:
    """What is wrong with an operator's words: a key that nothing asks for, a placeholder that nothing is put into."""
    known = own_texts()[DEFAULT]
    faults = [f"there is no {key}" for key in texts if key not in known and not key.startswith(SCOPES)]
    for key in texts.keys() & known.keys():
        try:
            unknown = placeholders(texts[key]) - placeholders(known[key])
        except ValueError:
            faults.append(f"the braces of {key} do not match")
            continue
        faults += [f"{key} has no {{{name}}}" for name in sorted(unknown)]
    if "page.months" in texts and len(texts["page.months"].split()) != 12:
        faults.append("page.months must be twelve words")
    return sorted(faults)


def placeholders(text: str) -> set[str]:
    """The names in braces.

    Raises:
        ValueError: they do not match.
    """
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{key}.", value)
        elif isinstance(value, str):
            yield prefix + key, value
        else:
            raise ValueError(f"{prefix}{key} is no text")
