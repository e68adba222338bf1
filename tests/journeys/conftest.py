"""One browser for all that is done in one."""

from collections.abc import Iterator

import pytest

from tests.browser import Browser, running_browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Each tab that is opened in it has cookies and a cache of its own."""
    with running_browser() as browser:
        yield browser
