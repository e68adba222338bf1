"""Redirect URIs: what may be registered, and which of those is asked for (RED-01 to RED-06, ATK-79)."""

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authsvc.errors import InvalidRedirectUri
from authsvc.models import ApplicationType
from authsvc.protocol.redirects import (
    MAX_LENGTH,
    check_redirect_uri,
    is_claimed,
    is_registered,
    is_web_page,
    matches,
)

WEB, NATIVE = ApplicationType.WEB, ApplicationType.NATIVE
EITHER = pytest.mark.parametrize("application_type", ApplicationType)


@EITHER
@pytest.mark.parametrize(
    "uri",
    [
        "https://client.example/callback",
        "https://client.example",
        "https://client.example/",
        "https://client.example:8443/a/b;c=1/d.html",
        "https://client.example:443/cb",
        "https://client.example/cb?tenant=1&next=%2Fhome",
        "https://client.example/a..b/...",
        "https://xn--bcher-kva.example/cb",
        "https://intranet/cb",
        "https://192.0.2.7/cb",
        "https://[2001:db8::1]:8443/cb",
        "https://client.example/%C3%BC",
        "https://client.example/cb?codes=1&xstate=",
        "https://c.example/" + "x" * (MAX_LENGTH - 18),
    ],
    ids=lambda uri: uri[:40],
)
def test_a_client_of_any_type_has_https(uri: str, application_type: ApplicationType) -> None:
    check_redirect_uri(uri, application_type)
    assert is_claimed(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1/cb",
        "http://127.0.0.1",
        "http://127.0.0.1:8400/cb?x=1",
        "http://[::1]/cb",
        "http://[::1]:65535/cb",
        "http://localhost:3000/cb",  # RED-03
        "https://localhost:3000/cb",
        "com.example.app:/cb",  # RED-05
        "com.example.app:/",
        "com.example.app://oauth/cb",
        "com.example.app:///cb",
        "com.example-2.app+x:/cb?x=1",
    ],
)
def test_a_native_client_also_has_the_loopback_and_schemes_of_its_own(uri: str) -> None:
    check_redirect_uri(uri, NATIVE)
    with pytest.raises(InvalidRedirectUri):
        check_redirect_uri(uri, WEB)  # RED-03, RED-04, DCR-09


NONSENSE = [
    ("nothing", "", "letters"),
    ("RED-06 relative", "/cb", "absolute"),
    ("RED-06 without scheme", "client.example/cb", "absolute"),
    ("RED-06 network path", "//client.example/cb", "absolute"),
    ("RED-06 a scheme that begins with a digit", "1com.example:/cb", "absolute"),
    ("RED-06 a fragment", "https://client.example/cb#x", "fragment"),
    ("RED-06 an empty fragment", "https://client.example/cb#", "fragment"),
    ("RED-06 a user name", "https://user@client.example/cb", "user name"),
    ("RED-06 a name and a password", "https://user:pw@client.example/cb", "user name"),
    ("RED-06 a host that looks like another", "https://client.example@evil.example/cb", "user name"),
    ("RED-06 a user name for an app", "com.example.app://user@cb", "user name"),
    ("RED-06 a wildcard host", "https://*.client.example/cb", "wildcard"),
    ("RED-06 a wildcard path", "https://client.example/*", "wildcard"),
    ("RED-06 a wildcard port", "http://127.0.0.1:*/cb", "wildcard"),
    ("RED-06 a step up", "https://client.example/a/../cb", "dot segments"),
    ("RED-06 a step up at the end", "https://client.example/cb/..", "dot segments"),
    ("RED-06 a step nowhere", "https://client.example/./cb", "dot segments"),
    ("RED-06 an encoded step up", "https://client.example/%2e%2E/cb", "dot segments"),
    ("RED-06 a half encoded step up", "https://client.example/.%2e/cb", "dot segments"),
    ("RED-06 with an encoded slash", "https://client.example/a%2f..%2fcb", "dot segments"),
    ("RED-06 with an encoded backslash", "https://client.example/a%5c..%5ccb", "dot segments"),
    ("RED-06 with a path parameter", "https://client.example/..;x=1/cb", "dot segments"),
    ("RED-06 a step up in an app", "com.example.app:/../cb", "dot segments"),
    ("RED-06 a backslash", "https://client.example\\@evil.example/cb", "letters"),
    ("RED-06 a blank", "https://client.example/c b", "letters"),
    ("RED-06 a blank in front", " https://client.example/cb", "letters"),
    ("RED-06 a blank behind", "https://client.example/cb ", "letters"),
    ("RED-06 a line end", "https://client.example/cb\n", "letters"),
    ("RED-06 a header", "https://client.example/cb\r\nSet-Cookie: a=b", "letters"),
    ("RED-06 an encoded line end", "https://client.example/cb%0d%0aX:y", "control"),
    ("RED-06 an encoded NUL", "https://client.example/cb%00", "control"),
    ("RED-06 a NUL", "https://client.example/cb\0", "letters"),
    ("RED-06 a tab in the scheme", "java\tscript:alert(1)", "letters"),
    ("RED-06 a percent sign alone", "https://client.example/%", "letters"),
    ("RED-06 half a letter", "https://client.example/%4", "letters"),
    ("RED-06 quotes", 'https://client.example/"><script>', "letters"),
    ("RED-06 another script", "https://clіent.example/cb", "letters"),
    ("RED-06 a wide dot", "https://client．example/cb", "letters"),
    ("RED-06 braces", "https://{tenant}.example/cb", "letters"),
    ("RED-06 javascript", "javascript:alert(1)", "begins with https"),
    ("RED-06 javascript with a host", "javascript://client.example/%41alert(1)", "begins with https"),
    ("RED-06 data", "data:text/html,x", "begins with https"),
    ("RED-06 file", "file:///etc/passwd", "begins with https"),
    ("RED-06 blob", "blob:https://client.example/x", "begins with https"),
    ("RED-06 about", "about:blank", "begins with https"),
    ("RED-06 vbscript", "vbscript:x", "begins with https"),
    ("RED-06 out of band", "urn:ietf:wg:oauth:2.0:oob", "begins with https"),
    ("RED-06 a web socket", "wss://client.example/cb", "begins with https"),
    ("RED-05 no period", "myapp:/cb", "begins with https"),
    ("RED-05 an empty label", "com..app:/cb", "begins with https"),
    ("RED-05 a period at the end", "com.:/cb", "begins with https"),
    ("upper case in a scheme", "HTTPS://client.example/cb", "lower case"),
    ("upper case in a scheme of its own", "com.Example.App:/cb", "lower case"),
    ("upper case in a host", "https://Client.example/cb", "host"),
    ("RED-04 http", "http://client.example/cb", "begins with https"),
    ("RED-04 http on an address", "http://192.0.2.7/cb", "begins with https"),
    ("RED-02 not the loopback literal", "http://127.0.0.2/cb", "begins with https"),
    ("RED-02 the loopback, short", "http://127.1/cb", "begins with https"),
    ("RED-02 the loopback as one number", "http://2130706433/cb", "begins with https"),
    ("RED-02 any address", "http://0.0.0.0/cb", "begins with https"),
    ("RED-02 the loopback, long", "http://[0:0:0:0:0:0:0:1]/cb", "begins with https"),
    ("RED-02 the loopback, mapped", "http://[::ffff:127.0.0.1]/cb", "begins with https"),
    ("RED-02 a name below", "http://127.0.0.1.evil.example/cb", "begins with https"),
    ("RED-03 a name below", "http://localhost.evil.example/cb", "begins with https"),
    ("RED-03 a name above", "http://evil.localhost/cb", "begins with https"),
    ("no host", "https:///cb", "host"),
    ("no host at all", "https:/cb", "has a host"),
    ("one slash less", "https:client.example/cb", "has a host"),
    ("a query for a host", "https://?x", "host"),
    ("a port for a host", "https://:443/cb", "host"),
    ("an empty port", "https://client.example:/cb", "host"),
    ("port 0", "https://client.example:0/cb", "host"),
    ("port 65536", "https://client.example:65536/cb", "address"),
    ("a port with a name", "https://client.example:https/cb", "host"),
    ("a label that begins with a dash", "https://-client.example/cb", "host"),
    ("two dots", "https://client..example/cb", "host"),
    ("a dot behind", "https://client.example./cb", "host"),
    ("an encoded host", "https://client%2eexample/cb", "host"),
    ("no IPv6 address", "https://[1::2::3]/cb", "address"),
    ("half an IPv6 address", "https://[::1/cb", "host"),
    ("a zone", "https://[fe80::1%25eth0]/cb", "host"),
    ("a code of its own", "https://client.example/cb?code=x", "names nothing"),
    ("a state of its own", "https://client.example/cb?a=1&state", "names nothing"),
    ("an issuer, encoded", "https://client.example/cb?i%73s=https://evil.example", "names nothing"),
    ("an error of its own", "https://client.example/cb?error=", "names nothing"),
    ("too long", "https://c.example/" + "x" * (MAX_LENGTH - 17), "at most"),
]


@EITHER
@pytest.mark.parametrize(("uri", "word"), [pytest.param(*row, id=name) for name, *row in NONSENSE])
def test_what_is_no_redirect_uri_is_refused_and_told_why(
    uri: str, word: str, application_type: ApplicationType
) -> None:
    with pytest.raises(InvalidRedirectUri) as refused:
        check_redirect_uri(uri, application_type)
    assert word in refused.value.description


@pytest.mark.parametrize("uri", ["com.example.app:cb", "com.example.app:", "com.example.app:?x=1"])
def test_a_scheme_is_followed_by_a_slash(uri: str) -> None:  # RED-05
    with pytest.raises(InvalidRedirectUri, match="slash"):
        check_redirect_uri(uri, NATIVE)


REGISTERED = "https://client.example/cb?x=1"


@pytest.mark.parametrize(
    "asked",
    [
        "https://client.example/cb?x=1/",
        "https://client.example/cb/?x=1",
        "https://client.example/cb",
        "https://client.example/cb?",
        "https://client.example/cb?x=1&y=2",
        "https://client.example/cb?x=2",
        "https://client.example/CB?x=1",
        "https://CLIENT.example/cb?x=1",
        "HTTPS://client.example/cb?x=1",
        "https://client.example:443/cb?x=1",
        "https://client.example/%63b?x=1",
        "https://client.example/./cb?x=1",
        "https://client.example/cb?x=1#",
        "https://client.example/cb?x=1#x",
        "https://client.example/cb?x=1\n",
        " https://client.example/cb?x=1",
        "https://client.example./cb?x=1",
        "https://user@client.example/cb?x=1",
        "http://client.example/cb?x=1",
        "https://client.example.evil.example/cb?x=1",
        "https://client.example",
        "",
    ],
)
def test_what_is_not_the_same_text_is_another_uri(asked: str) -> None:  # RED-01
    assert matches(REGISTERED, REGISTERED)
    assert not matches(REGISTERED, asked)
    assert not matches(asked, REGISTERED)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
@pytest.mark.parametrize("registered_port", ["", ":8400"])
@pytest.mark.parametrize("port", ["", ":1", ":80", ":51004", ":65535"])
@pytest.mark.parametrize("path", ["", "/cb", "/cb?x=1", "?x"])
def test_on_the_loopback_any_port_is_asked_for(host: str, registered_port: str, port: str, path: str) -> None:
    assert matches(f"http://{host}{registered_port}{path}", f"http://{host}{port}{path}")  # RED-02, RED-03


@pytest.mark.parametrize(
    "asked",
    [
        "http://127.0.0.1:51004/cb2",
        "http://127.0.0.1:51004/cb/",
        "http://127.0.0.1:51004/",
        "http://127.0.0.1:51004/cb?x=1",
        "http://127.0.0.1:51004/cb#x",
        "http://127.0.0.1:51004/cb\n",
        "http://127.0.0.1:51004/CB",
        "http://127.0.0.1:51004",
        "http://127.0.0.1:/cb",
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:080/cb",
        "http://127.0.0.1:65536/cb",
        "http://127.0.0.1:٣/cb",
        "http://127.0.0.1:1:2/cb",
        "http://127.0.0.1:80@evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.1:80.evil.example/cb",
        "http://127.0.0.1\\@evil.example/cb",
        "http://user@127.0.0.1:51004/cb",
        "http://127.0.0.2:51004/cb",
        "http://[::1]:51004/cb",
        "http://localhost:51004/cb",
        "https://127.0.0.1:51004/cb",
        "HTTP://127.0.0.1:51004/cb",
    ],
)
def test_on_the_loopback_nothing_but_the_port_differs(asked: str) -> None:  # RED-02
    assert not matches("http://127.0.0.1/cb", asked)


def test_off_the_loopback_no_port_differs() -> None:  # RED-01, RED-02
    for uri in ("https://127.0.0.1{}/cb", "http://192.0.2.7{}/cb", "com.example.app://127.0.0.1{}/cb"):
        assert not matches(uri.format(""), uri.format(":51004"))
        assert not matches(uri.format(":51005"), uri.format(":51004"))


def test_one_of_those_registered_is_enough() -> None:
    uris = (REGISTERED, "http://[::1]/cb")
    assert is_registered(REGISTERED, uris)
    assert is_registered("http://[::1]:9/cb", uris)
    assert not is_registered("http://[::1]:9/cb2", uris)
    assert not is_registered(REGISTERED, ())


# Pieces that URIs of attacks are made of, in any order.
PIECES = st.lists(
    st.sampled_from([
        "http:", "https:", "//", "127.0.0.1", "[::1]", "localhost", ":80", ":1", ":", "/cb", "/", "..", "?x=1", "#",
        "@", "evil.example", "\\", "%2f", "%00", "\n", "com.example.app:", "javascript:", ";", "&", "*", ".",
    ])
    | st.text(max_size=3),
    max_size=8,
).map("".join)  # fmt: skip
_LOOPBACK_PORT = re.compile(r"\A(http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::[1-9][0-9]{0,4})?(?=[/?]|\Z)")


@given(PIECES, PIECES)
@example("http://localhost/cb", "http://localhost:80/cb")
def test_no_other_text_is_ever_taken_for_the_one_registered(registered: str, asked: str) -> None:  # RED-01
    without_port = [_LOOPBACK_PORT.sub(r"\1", uri) for uri in (registered, asked)]
    if matches(registered, asked):
        is_loopback = _LOOPBACK_PORT.match(registered) is not None
        assert registered == asked or (is_loopback and without_port[0] == without_port[1])
    else:
        assert registered != asked


@given(PIECES | st.text(), st.sampled_from(ApplicationType))
def test_what_is_taken_is_read_by_others_as_it_is_meant(uri: str, application_type: ApplicationType) -> None:
    """Whatever comes, it is taken or refused; and what is taken cannot end a header, and names one host to all."""
    try:
        check_redirect_uri(uri, application_type)
    except InvalidRedirectUri as refused:
        assert refused.description.isascii()
        return
    assert re.fullmatch(r"[\x21-\x7e]+", uri)
    parts = urlsplit(uri)
    assert "#" not in uri
    assert parts.username is None
    assert parts.scheme == "https" or application_type is NATIVE
    assert parts.scheme in {"https", "http"} or "." in parts.scheme
    assert parts.scheme != "http" or parts.hostname in {"127.0.0.1", "::1", "localhost"}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://client.example/logo.png?v=2&code=1", True),
        ("https://localhost/terms", True),
        ("http://client.example/logo.png", False),
        ("https://client.example/#terms", False),
        ("https://user@client.example/", False),
        ("javascript:alert(1)", False),
        ("data:image/png;base64,AA", False),
        ("https://client.example/' style='x", False),
        ("com.example.app:/logo", False),
        ("", False),
    ],
)
def test_a_page_to_link_to_is_https(uri: str, expected: bool) -> None:
    assert is_web_page(uri) is expected


def test_what_any_program_can_take_is_not_claimed() -> None:
    for uri in ("http://127.0.0.1/cb", "http://localhost/cb", "com.example.app:/cb"):
        assert not is_claimed(uri)
