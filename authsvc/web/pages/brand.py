"""Whose pages they are: a name, a colour, a logo. And the operator's own folder, read once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from authsvc.errors import ConfigurationError
from authsvc.protocol.colours import BLACK, WHITE, Colour, legible_on, mix, parse_colour, text_on
from authsvc.web.pages.catalogue import Texts, find_faults, parse_texts

MAX_LOGO_BYTES = 262_144
LOGO_TYPES = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}

# RFC 5646 §2.1.1, in the letters that it recommends: what is offered is advertised as it is named.
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*")

# What text in the brand's colour stands on: the darkest of the light ones, the lightest of the dark ones.
LIGHT_GROUND, DARK_GROUND = parse_colour("#f2f4f8"), parse_colour("#1b212b")


@dataclass(frozen=True, slots=True)
class Logo:
    content: bytes = field(repr=False)
    media_type: str


@dataclass(frozen=True, slots=True)
class Brand:
    name: str
    colour: Colour
    logo: Logo | None = None

    @property
    def icon(self) -> Logo:
        """For the browser's tab: the logo, or the first letter of the name on the brand's colour."""
        return self.logo or _monogram(self.name, self.colour)


@dataclass(frozen=True, slots=True)
class Folder:
    """What an operator's own folder holds. See docs/pages.md."""

    templates: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, Texts] = field(default_factory=dict)
    style: str = ""


def palette(colour: Colour) -> str:
    """The brand's colour as style: itself where that can be read, else the nearest that can (WCAG 2.2 §1.4.3)."""
    dark = legible_on(colour, DARK_GROUND)
    return (
        f":root{{{_variables(colour, legible_on(colour, LIGHT_GROUND))}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{{_variables(dark, dark)}}}}}\n"
    )


def _variables(button: Colour, text: Colour) -> str:
    on_button = text_on(button)
    # Away from its text: what is read on it becomes easier to read, never harder.
    hover = mix(button, BLACK, 0.14) if on_button != BLACK else mix(button, WHITE, 0.25)
    return f"--accent:{button};--on-accent:{on_button};--accent-hover:{hover};--accent-text:{text}"


def _monogram(name: str, colour: Colour) -> Logo:
    letter = escape(next((letter for letter in name.upper() if letter.isalnum()), "?"))
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" rx="16" '
        f'fill="{colour}"/><text x="32" y="33" fill="{text_on(colour)}" font-family="system-ui,sans-serif" '
        f'font-size="36" font-weight="600" text-anchor="middle" dominant-baseline="central">{letter}</text></svg>'
    )
    return Logo(drawn.encode(), LOGO_TYPES[".svg"])


def read_logo(path: Path) -> Logo:
    """Raises ConfigurationError: it cannot be read, is too large, or of a type that pages do not show."""
    media_type = LOGO_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise ConfigurationError([f"AUTHSVC_BRAND_LOGO must end in one of {', '.join(LOGO_TYPES)}"])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError([f"AUTHSVC_BRAND_LOGO cannot be read: {type(error).__name__}"]) from None
    if not 0 < len(content) <= MAX_LOGO_BYTES:
        raise ConfigurationError([f"AUTHSVC_BRAND_LOGO must not be empty, nor over {MAX_LOGO_BYTES // 1024} KiB"])
    return Logo(content, media_type)


def read_folder(path: Path) -> Folder:
    """`templates/*.html`, `words/*.toml` and `pages.css`, whichever there are.

    Raises:
        ConfigurationError: with every fault that was found.
    """
    faults: list[str] = []
    if not path.is_dir():
        raise ConfigurationError(["AUTHSVC_PAGES_DIR is no folder"])
    templates = {file.name: _read(file, faults) for file in sorted(path.glob("templates/*.html"))}
    texts: dict[str, Texts] = {}
    for file in sorted(path.glob("words/*.toml")):
        if not _LANGUAGE.fullmatch(file.stem):
            faults.append(f"{_in_folder(file)} must be named after a language, like de.toml or pt-BR.toml")
        try:
            texts[file.stem] = parse_texts(_read(file, faults))
        except ValueError as error:
            faults.append(f"{_in_folder(file)}: {error}")
            continue
        faults += [f"{_in_folder(file)}: {fault}" for fault in find_faults(texts[file.stem])]
    style = path / "pages.css"
    folder = Folder(templates, texts, _read(style, faults) if style.exists() else "")
    if faults:
        raise ConfigurationError(faults)
    return folder


def _read(file: Path, faults: list[str]) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{_in_folder(file)} cannot be read: {type(error).__name__}")
        return ""


def _in_folder(file: Path) -> str:
    return f"AUTHSVC_PAGES_DIR: {file.parent.name}/{file.name}"
