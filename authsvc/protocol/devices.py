"""What a browser says of itself (RFC 9110 §10.1.5), in the few words by which a person knows it. Anybody can say
anything: only what stands below is ever told, and the rest is nobody's device."""

# Those that pretend to be another come before it.
_BROWSERS = (
    ("Edg", "Edge"), ("OPR", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Vivaldi", "Vivaldi"),
    ("Firefox", "Firefox"), ("FxiOS", "Firefox"), ("CriOS", "Chrome"), ("HeadlessChrome", "Chrome"),
    ("Chrome", "Chrome"), ("Safari", "Safari"),
)  # fmt: skip
_SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "ChromeOS"), ("Windows", "Windows"),
    ("Macintosh", "Mac"), ("Linux", "Linux"),
)  # fmt: skip


def name_device(user_agent: str | None) -> str | None:
    """`Firefox, Linux`; None where it is no browser that we know on a system that we know."""
    text = user_agent or ""
    browser = next((name for sign, name in _BROWSERS if sign in text), None)
    system = next((name for sign, name in _SYSTEMS if sign in text), None)
    return None if browser is None or system is None else f"{browser}, {system}"
