"""Chromium, told what to do over a pipe (Chrome DevTools Protocol): no driver stands between that would have to fit."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.deploy.tools import missing

SECONDS = 30.0
"""For anything at all: a machine may be busy, and a test that waits longer has failed."""

# What is not wanted of a browser that looks at one site on the loopback. Without a sandbox it runs as root and in
# containers; it meets no page but ours.
_FLAGS = (
    "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu",
    "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--hide-scrollbars", "--mute-audio", "--lang=en", "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)  # fmt: skip
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
_SHIFT = 8


class PageGone(Exception):
    """Another page has come while this one was asked something."""


_GONE = ("Inspected target navigated or closed", "Execution context was destroyed", "Cannot find context")


class Browser:
    """One process. `open_tab` gives a page with cookies and a cache of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._buffer = b""
        self._last_id = 0
        self._events: list[dict[str, Any]] = []
        self._sessions: dict[str, list[str]] = {}

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """What the browser answers."""
        assert self._process.stdin is not None
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        deadline = time.monotonic() + SECONDS
        while True:
            told = self._read(deadline)
            if told.get("id") == self._last_id:
                if str(told.get("error", {}).get("message", "")).startswith(_GONE):
                    raise PageGone
                assert "error" not in told, f"{method}: {told['error']}"
                found: dict[str, Any] = told["result"]
                return found
            self._events.append(told)

    def wait_for(self, method: str, session: str) -> dict[str, Any]:
        """The next event of that name; those before it are kept."""
        deadline = time.monotonic() + SECONDS
        looked_at = 0
        while True:
            while looked_at == len(self._events):
                self._events.append(self._read(deadline))
            told = self._events[looked_at]
            if told.get("method") == method and told.get("sessionId") == session:
                del self._events[looked_at]
                parameters: dict[str, Any] = told["params"]
                return parameters
            looked_at += 1

    def forget(self, method: str, session: str) -> None:
        """What has happened by that name so far: nobody waits for it any more."""
        self._events = [
            told for told in self._events if (told.get("method"), told.get("sessionId")) != (method, session)
        ]

    def events(self, session: str) -> list[dict[str, Any]]:
        """What has happened in a tab and was not waited for."""
        found = [told for told in self._events if told.get("sessionId") == session]
        self._events = [told for told in self._events if told.get("sessionId") != session]
        return found

    def _read(self, deadline: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\0" not in self._buffer:
            assert select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0], "the browser says nothing"
            more = os.read(pipe, 1 << 20)
            assert more, "the browser has ended"
            self._buffer += more
        text, _, self._buffer = self._buffer.partition(b"\0")
        told: dict[str, Any] = json.loads(text)
        return told

    @contextmanager
    def open_tab(self) -> "Iterator[Tab]":
        context = self.call("Target.createBrowserContext")["browserContextId"]
        try:
            yield self.open_in(context)
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)
            for session in self._sessions.pop(context, ()):
                self.events(session)

    def open_in(self, context: str) -> "Tab":
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._sessions.setdefault(context, []).append(session)
        return Tab(self, context, session)


class Tab:
    """A page, as a person meets it."""

    def __init__(self, browser: Browser, context: str, session: str) -> None:
        self._browser = browser
        self._context = context
        self._session = session
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def open_another(self) -> "Tab":
        """A second tab of the same browser: with the same cookies. It is closed with the first."""
        return self._browser.open_in(self._context)

    def open(self, address: str) -> None:
        """Go there, and wait until everything is loaded."""
        self._browser.forget("Page.loadEventFired", self._session)
        answer = self.call("Page.navigate", url=address)
        assert "errorText" not in answer, f"{address}: {answer['errorText']}"
        self._browser.wait_for("Page.loadEventFired", self._session)

    def wait_for_load(self) -> None:
        """Until the page that is coming is there."""
        self._browser.wait_for("Page.loadEventFired", self._session)

    def click(self, id: str) -> None:
        """On what leads to another page; until that is there."""
        self._browser.forget("Page.loadEventFired", self._session)
        self.leave(f"document.getElementById({json.dumps(id)}).click()")
        self.wait_for_load()

    def leave(self, expression: str) -> None:
        """Do what leads to another page, which may be there before it is answered."""
        with suppress(PageGone):
            self.js(expression)

    def go_back(self) -> None:
        """By the browser's own button. It may still have the page, and then loads nothing."""
        self._browser.forget("Page.frameNavigated", self._session)
        self.leave("history.back()")
        self._browser.wait_for("Page.frameNavigated", self._session)
        self.until("document.readyState === 'complete'")

    def js(self, expression: str) -> Any:
        """The value of an expression, or of the promise that it is."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait for that to be true: what a browser does with a page, it does in its own time."""
        deadline = time.monotonic() + SECONDS
        while not self._is_so(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.005)

    def _is_so(self, expression: str) -> bool:
        try:
            return bool(self.js(expression))
        except PageGone:
            return False

    def run(self, script: str) -> None:
        """A whole script, as if the page had it."""
        answer = self.call("Runtime.evaluate", expression=script)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]

    def press(self, key: str, *, shift: bool = False) -> None:
        modifiers = _SHIFT if shift else 0
        text = {"Enter": "\r", " ": " "}.get(key)
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code="Space" if key == " " else key,
                windowsVirtualKeyCode=_KEYS[key], modifiers=modifiers, **more,
            )  # fmt: skip

    def type(self, text: str) -> None:
        """Into what has the focus."""
        self.call("Input.insertText", text=text)

    def look(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Through a window of this size, in these colours."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def without_scripts(self) -> None:
        self.call("Emulation.setScriptExecutionDisabled", value=True)

    def screenshot(self, path: Path) -> None:
        """All of the page."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def complaints(self) -> list[str]:
        """What stands in the console: refused content, failed requests, exceptions. Read once."""
        found = []
        for told in self._browser.events(self._session):
            parameters = told["params"]
            if told["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("warning", "error"):
                found.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
            elif told["method"] == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"]))
            elif told["method"] == "Runtime.consoleAPICalled":
                found.append(str(parameters["args"]))
        return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium, where it is installed. Gone when the block is left."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None) or missing(
        "chromium is not installed: apt-get install chromium"
    )
    with TemporaryDirectory(prefix="authsvc-browser-", ignore_cleanup_errors=True) as home:
        # It reads from descriptor 3 and writes to 4.
        shell = ["sh", "-c", 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1']
        process = subprocess.Popen(
            [*shell, program, *_FLAGS, f"--user-data-dir={home}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=os.environ | {"HOME": home},
        )  # fmt: skip
        browser = Browser(process)
        try:
            yield browser
        finally:
            with suppress(AssertionError, OSError):
                browser.call("Browser.close")
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(OSError):
                    pipe.close()
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
