"""An operator's own pages: name, colour, logo, templates, words, style."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import ConfigurationError
from authsvc.policies import pages_of
from authsvc.protocol.colours import LEGIBLE, Colour, contrast, parse_colour
from authsvc.web.pages.brand import DARK_GROUND, LIGHT_GROUND, MAX_LOGO_BYTES, Brand, Folder, palette
from authsvc.web.pages.renderer import Pages, Wishes
from tests.house_of import settings_for
from tests.pages.site import BRAND
from tests.pages.states import STATES
from tests.web.markup import find, parse

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def open_pages(**settings: object) -> Pages:
    return pages_of(settings_for("postgresql://nowhere/at-all", **settings))


def faults_of(**settings: object) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        open_pages(**settings)
    return list(caught.value.faults)


def body_of(pages: Pages, name: str = "login", language: str = "en") -> str:
    return pages.draw(STATES[name].page, Wishes(language)).body.decode()


# --- Name, colour, logo


def test_without_a_name_it_is_the_host_of_the_issuer() -> None:
    assert "<span>id.example</span>" in body_of(open_pages(issuer="https://id.example/tenant"))
    assert "<span>Acme &amp; Sons</span>" in body_of(open_pages(brand_name="Acme & Sons"))


def test_pages_below_a_path_load_and_link_from_below_it() -> None:
    pages = open_pages(issuer="https://id.example/tenant")
    for name in ("login", "account"):
        elements = parse(body_of(pages, name))
        for element in elements:
            for attribute in ("src", "href"):
                address = element.attributes.get(attribute) or "/tenant/"
                assert address.startswith(("/tenant/", "data:", "https://shop.example/")), address
    assert pages.style.address.startswith("/tenant/static/pages.css?v=")


def _variables(style: str) -> dict[str, Colour]:
    return {name: parse_colour(value) for name, value in re.findall(r"--([\w-]+): ?(#\w{6})", style)}


@given(st.builds(Colour, *[st.integers(0, 255)] * 3))
def test_whatever_the_colour_everything_can_be_read(colour: Colour) -> None:
    for style, ground in zip(palette(colour).splitlines(), (LIGHT_GROUND, DARK_GROUND), strict=True):
        told = _variables(style)
        assert contrast(told["accent-text"], ground) >= LEGIBLE
        for button in ("accent", "accent-hover"):
            assert contrast(told["on-accent"], told[button]) >= LEGIBLE


def test_a_colour_that_can_be_read_is_kept_as_it_is() -> None:
    light = _variables(palette(parse_colour("#0b5c43")).splitlines()[0])
    assert light["accent"] == light["accent-text"] == parse_colour("#0b5c43")
    # Yellow buttons stay yellow, with black on them; yellow words do not.
    light = _variables(palette(parse_colour("#ffdd00")).splitlines()[0])
    assert light["accent"] == parse_colour("#ffdd00")
    assert light["accent-text"] != parse_colour("#ffdd00")


def test_the_grounds_are_those_of_the_style() -> None:
    style = Pages(BRAND).style.content.decode()
    assert f"--ground: {LIGHT_GROUND}" in style
    assert f"--card: {DARK_GROUND}" in style
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    for block in (light, dark):
        told = _variables(block)
        for text, behind in (("text", "ground"), ("text", "card"), ("soft", "ground"), ("soft", "card"),
                             ("bad", "bad-ground"), ("good", "good-ground")):  # fmt: skip
            assert contrast(told[text], told[behind]) >= LEGIBLE
        assert contrast(told["edge"], told["card"]) >= 3  # WCAG 2.2 §1.4.11


def test_the_logo_stands_on_the_pages(write: Write) -> None:
    logo = write("acme.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>")
    pages = open_pages(brand_logo=str(logo))
    assert (pages.icon.content, pages.icon.media_type) == (logo.read_bytes(), "image/svg+xml")
    assert find(body_of(pages), "img", src=pages.icon.address)


def test_without_a_logo_it_is_the_first_letter_of_the_name() -> None:
    icon = Pages(Brand("«ärger»", parse_colour("#ffdd00"))).icon
    assert icon.media_type == "image/svg+xml"
    assert b'fill="#ffdd00"' in icon.content
    assert ">Ä</text>".encode() in icon.content
    assert b">?</text>" in Pages(Brand("—", parse_colour("#ffdd00"))).icon.content


def test_a_logo_that_is_of_no_use_is_refused(write: Write, tmp_path: Path) -> None:
    assert "must end in one of" in faults_of(brand_logo=str(write("logo.gif", "x")))[0]
    assert "cannot be read: FileNotFoundError" in faults_of(brand_logo=str(tmp_path / "none.png"))[0]
    assert "256 KiB" in faults_of(brand_logo=str(write("large.png", "x" * (MAX_LOGO_BYTES + 1))))[0]
    assert "must not be empty" in faults_of(brand_logo=str(write("empty.png", "")))[0]


# --- The folder


def test_an_operators_template_goes_before_ours_and_may_build_on_it(write: Write, tmp_path: Path) -> None:
    write(
        "templates/login.html",
        '{% extends "ours/login.html" %}{% block footer %}{% include "_help.html" %}{% endblock %}',
    )
    write("templates/_help.html", "<footer>Call us, {{ page.client.name }}</footer>")
    pages = open_pages(pages_dir=str(tmp_path))
    assert "<footer>Call us, Corner Shop</footer>" in body_of(pages)
    assert 'id="login-submit"' in body_of(pages)
    assert "<footer>" not in body_of(pages, "consent")


def test_an_operators_frame_is_that_of_every_page(write: Write, tmp_path: Path) -> None:
    write("templates/page.html", '{% extends "ours/page.html" %}{% block footer %}<footer>Acme</footer>{% endblock %}')
    pages = open_pages(pages_dir=str(tmp_path))
    for name in STATES:
        assert "<footer>Acme</footer>" in body_of(pages, name)


def test_what_an_operators_template_says_is_escaped_as_in_ours() -> None:
    pages = Pages(BRAND, Folder(templates={"login.html": "{{ page.username }}"}))
    assert "<" not in body_of(pages, "login-wrong")
    assert pages.draw(STATES["login"].page, Wishes()).body == b""


@pytest.mark.parametrize(
    "broken", ["{{ page.nothing }}", "{{ 1 / 0 }}", '{% include "_none.html" %}', "{{ t('x.y') }}"]
)
def test_a_template_that_cannot_be_drawn_is_logged_and_ours_stands_in(
    broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    pages = Pages(BRAND, Folder(templates={"login.html": broken}))
    assert body_of(pages) == body_of(Pages(BRAND))
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.message == "a page of the operator's own cannot be drawn"
    assert record.exc_info is not None


def test_words_and_style_are_read_too(write: Write, tmp_path: Path) -> None:
    write("words/en.toml", '[login]\ntitle = "Welcome"\n[scopes]\n"orders:read" = "Look at your orders"')
    write("words/fr.toml", '[login]\ntitle = "Connexion"')
    write("pages.css", "h1 { color: red }")
    pages = open_pages(pages_dir=str(tmp_path))
    assert "<h1>Welcome</h1>" in body_of(pages)
    assert "<h1>Connexion</h1>" in body_of(pages, language="fr")
    assert "<h1>Anmelden</h1>" in body_of(pages, language="de")
    assert "<li>Look at your orders</li>" in body_of(pages, "consent-long")
    assert pages.style.content.endswith(b"h1 { color: red }")
    assert pages.style.address != open_pages().style.address


def test_every_fault_of_the_folder_is_told_at_once_with_its_file(write: Write, tmp_path: Path) -> None:
    write("words/en.toml", '[login]\ntitel = "x"')
    write("words/fr.toml", "[login")
    write("words/French.toml", "")
    (tmp_path / "pages.css").write_bytes(b"\xff")
    faults = faults_of(pages_dir=str(tmp_path))
    files = ["words/French.toml", "words/en.toml", "words/fr.toml", f"{tmp_path.name}/pages.css"]
    assert [fault.split(" ")[1].rstrip(":") for fault in faults] == files
    assert all(fault.startswith("AUTHSVC_PAGES_DIR: ") for fault in faults)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("fr", True), ("pt-BR", True), ("zh-Hant-TW", True), ("es-419", True), ("sl-rozaj", True), ("de-CH-1996", True),
        ("pt-br", False), ("PT-BR", False), ("zh-hant", False), ("French", False), ("fr_FR", False), ("f", False),
    ],
)  # fmt: skip
def test_a_language_is_named_as_it_will_be_advertised(write: Write, tmp_path: Path, name: str, is_one: bool) -> None:
    write(f"words/{name}.toml", "")
    if is_one:
        assert open_pages(pages_dir=str(tmp_path)).languages == ("en", *sorted(["de", name]))
    else:
        assert "must be named after a language" in faults_of(pages_dir=str(tmp_path))[0]


def test_a_template_that_is_none_or_of_no_page_is_refused(write: Write, tmp_path: Path) -> None:
    write("templates/login.html", "<p>\n{% if %}")
    write("templates/lgoin.html", "")
    faults = faults_of(pages_dir=str(tmp_path))
    assert "no page is drawn by templates/lgoin.html" in faults[0]
    assert faults[1].startswith("AUTHSVC_PAGES_DIR: templates/login.html, line 2: ")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert faults_of(pages_dir=str(tmp_path / "none")) == ["AUTHSVC_PAGES_DIR is no folder"]


def test_an_empty_folder_changes_nothing(tmp_path: Path) -> None:
    assert body_of(open_pages(pages_dir=str(tmp_path))) == body_of(open_pages())
