"""HTML as a browser takes it apart."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset({"meta", "link", "img", "input", "br", "hr"})


@dataclass
class Element:
    name: str
    attributes: dict[str, str | None]
    text: str = field(default="", compare=False)
    """All of it, that of the elements inside included."""


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Element] = []
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len({name for name, _ in attrs}), f"an attribute of {tag} is there twice"
        element = Element(tag, dict(attrs))
        self.found.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert (opened := self._open.pop().name) == tag, f"</{tag}> closes <{opened}>"

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def close(self) -> None:
        super().close()
        assert not self._open, f"never closed: {self._open}"


def parse(html: str | bytes) -> list[Element]:
    """Every element, in their order. What is not closed in its order is refused."""
    parser = _Parser()
    parser.feed(html if isinstance(html, str) else html.decode())
    parser.close()
    return parser.found


def find(html: str | bytes, name: str, /, **attributes: str) -> list[Element]:
    """Those of that name that have these attributes."""
    return [
        each
        for each in parse(html)
        if each.name == name and all(each.attributes.get(key) == value for key, value in attributes.items())
    ]
