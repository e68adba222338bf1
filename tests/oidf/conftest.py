"""One provider for all modules, and a browser without a past for each."""

from collections.abc import Iterator

import pytest

from authsvc.embedded import Stores
from tests.oidf.module import Module
from tests.oidf.provider import Provider, providing
from tests.stores import fresh_database


@pytest.fixture(scope="session")
def provider(stores: Stores, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with (
        fresh_database(stores, migrated_template) as database_url,
        providing(database_url, tmp_path_factory.mktemp("provider")) as provider,
    ):
        yield provider


@pytest.fixture(params=["query", "form_post"])
def module(request: pytest.FixtureRequest, provider: Provider) -> Iterator[Module]:
    """Of the plan `oidcc-basic`, or of `oidcc-formpost-basic`: the same modules, with answers that are posted."""
    with provider.open() as http:
        yield Module(provider, http, request.param)
