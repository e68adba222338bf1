"""The ASGI application: settings in, one callable out."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
from prometheus_client import CollectorRegistry

from authsvc import logs
from authsvc.metrics import Metrics
from authsvc.protocol.discovery import build_metadata
from authsvc.settings import Settings, load
from authsvc.web.middleware import Observed
from authsvc.web.openapi import build_openapi
from authsvc.web.request import State
from authsvc.web.routes import build_router
from authsvc.wiring import REAL, Outside, open_flows


def create_app(settings: Settings | None = None, outside: Outside = REAL) -> Observed:
    """The service. Without settings it reads them from the environment: that is how a server's worker calls it.

    Raises:
        ConfigurationError: the settings are not usable; names every fault.
    """
    if settings is None:
        settings = load(os.environ)
        logs.configure(settings.log_level, settings.log_format)
    metrics = Metrics(CollectorRegistry())

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[State]:
        async with open_flows(settings, metrics, outside) as flows:
            yield {
                "flows": flows,
                "documents": {
                    "metadata": msgspec.json.encode(build_metadata(settings.issuer)),
                    "openapi": msgspec.json.encode(build_openapi(settings.issuer)),
                },
                "jwks_max_age": settings.jwks_max_age,
            }

    return Observed(build_router(urlsplit(settings.issuer).path, lifespan), metrics, outside.entropy)
