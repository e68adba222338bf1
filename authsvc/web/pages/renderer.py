"""From a view to an answer: the page in somebody's language, and the headers that guard it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from urllib.parse import urlsplit

from jinja2 import BaseLoader, ChoiceLoader, DictLoader, Environment, StrictUndefined, TemplateError
from markupsafe import Markup

from authsvc.errors import ConfigurationError
from authsvc.logs import get_logger
from authsvc.protocol.languages import choose_language
from authsvc.web.pages.brand import Brand, Folder, palette
from authsvc.web.pages.catalogue import Words, build_catalogue, own_texts
from authsvc.web.pages.content_policy import build_policy, script_hash
from authsvc.web.pages.views import FormPostPage, LoggedOutPage, Page, Room
from authsvc.web.responses import PAGE, Answer, Headers

SENDS_ITSELF = "document.forms[0].submit()"
"""Written for the oldest of browsers. The same in every page, so that its digest stands in the policy for good."""
OURS = "ours/"
"""An operator's template finds ours below this name, to extend it."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wishes:
    """In which language somebody would like to be answered."""

    ui_locales: str | None = None
    accept_language: str | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load. Its address changes with its content."""

    content: bytes = field(repr=False)
    media_type: str
    path: str
    etag: str

    @property
    def version(self) -> str:
        return self.etag.strip('"')

    @property
    def address(self) -> str:
        return f"{self.path}?v={self.version}"


class Pages:
    """Draws pages. Everything is read when it is made; nothing of a page is kept.

    Raises:
        ConfigurationError: a template of the operator's cannot be read.
    """

    def __init__(self, brand: Brand, folder: Folder | None = None, *, base_path: str = "") -> None:
        folder = folder or Folder()
        self._brand = brand
        self._base_path = base_path
        self._catalogue = build_catalogue(own_texts(), folder.texts)
        self.languages = tuple(self._catalogue)
        self._operators = _operators_templates(folder.templates) if folder.templates else None
        style = palette(brand.colour) + _own_file("pages.css") + folder.style
        self.style = self._asset("pages.css", style.encode(), "text/css; charset=utf-8")
        self.script = self._asset("pages.js", _own_file("pages.js").encode(), "text/javascript; charset=utf-8")
        self.icon = self._asset("icon", brand.icon.content, brand.icon.media_type)

    def draw(self, page: Page, wishes: Wishes, status: int = 200, headers: Headers | None = None) -> Answer:
        """The whole answer."""
        language = choose_language(wishes.ui_locales, wishes.accept_language, self.languages)
        body = self._render(page, self._catalogue[language])
        told = [(b"content-security-policy", _policy_of(page)), (b"content-language", language.encode("ascii"))]
        if isinstance(page, LoggedOutPage):
            # HDR-04, but for "cookies": those would be all of the domain's, other services' among them.
            told.append((b"clear-site-data", b'"cache", "storage"'))
        return Answer(status, body.encode(), [*told, *(headers or [])], PAGE)

    def _render(self, page: Page, words: Words) -> str:
        """An operator's template that fails is logged, and ours stands in for it: nobody is locked out by it."""
        context = {
            "page": page,
            "t": words,
            "brand": self._brand,
            "style": self.style.address,
            "script": self.script.address,
            "icon": self.icon.address,
            "rooms": Room,
            "base_path": self._base_path,
            "sends_itself": SENDS_ITSELF,
        }
        if self._operators is not None:
            try:
                return self._operators.get_template(page.template).render(context)
            except Exception:
                log.error("a page of the operator's own cannot be drawn", template=page.template, exc_info=True)
        return _own_templates().get_template(page.template).render(context)

    def _asset(self, name: str, content: bytes, media_type: str) -> Asset:
        etag = f'"{sha256(content).hexdigest()[:16]}"'
        return Asset(content, media_type, f"{self._base_path}/static/{name}", etag)


def _policy_of(page: Page) -> bytes:
    logo = page.client.logo if page.client else None
    if isinstance(page, FormPostPage):
        return build_policy(forms=(page.form.action,), logo=logo, script=script_hash(SENDS_ITSELF))
    return build_policy(forms=(page.returns_to,) if page.returns_to else (), logo=logo)


# --- Templates


@lru_cache(maxsize=1)
def _own_templates() -> Environment:
    """Ours, compiled once in a process, each at its first use."""
    return _environment(DictLoader(_own_texts_of_templates()))


def _operators_templates(templates: Mapping[str, str]) -> Environment:
    """The operator's before ours. Each is compiled now: a fault in it is found before anybody sees it."""
    ours = _own_texts_of_templates()
    aside = {OURS + name: text for name, text in ours.items()}
    environment = _environment(ChoiceLoader([DictLoader(dict(templates)), DictLoader({**ours, **aside})]))
    faults = []
    for name in templates:
        if name not in ours and not name.startswith("_"):
            faults.append(f"AUTHSVC_PAGES_DIR: no page is drawn by templates/{name}")
        try:
            environment.get_template(name)
        except TemplateError as error:
            line = getattr(error, "lineno", None)
            where = "" if line is None else f", line {line}"
            faults.append(f"AUTHSVC_PAGES_DIR: templates/{name}{where}: {error.message}")
    if faults:
        raise ConfigurationError(faults)
    return environment


def _environment(loader: BaseLoader) -> Environment:
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, auto_reload=False, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.tests["web_address"] = _is_web_address
    environment.tests["picture"] = _is_picture
    environment.filters["place"] = _place
    environment.globals["strong"] = Markup("<strong>{}</strong>").format
    environment.globals["link"] = Markup('<a href="{}">{}</a>').format
    return environment


def _is_web_address(address: str | None) -> bool:
    """Something to follow: never a script."""
    return address is not None and address.startswith(("https://", "http://"))


def _is_picture(address: str | None) -> bool:
    return address is not None and address.startswith(("https://", "data:image/"))


def _place(address: str | None) -> str:
    """Where an address leads, in short: its host. Empty where that says nothing to a person: an app, this machine."""
    try:
        parts = urlsplit(address or "")
        return (parts.hostname or "") if parts.scheme == "https" else ""
    except ValueError:
        return ""


@lru_cache(maxsize=1)
def _own_texts_of_templates() -> dict[str, str]:
    folder = files("authsvc.web.pages").joinpath("templates")
    return {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith(".html")}


@lru_cache
def _own_file(name: str) -> str:
    return files("authsvc.web.pages").joinpath("static", name).read_text(encoding="utf-8")
