"""The ASGI application: settings in, one callable out."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from authsvc import logs
from authsvc.metrics import Metrics
from authsvc.policies import pages_of
from authsvc.protocol.discovery import build_metadata
from authsvc.settings import Settings, load
from authsvc.web.cookies import Cookies, Site
from authsvc.web.cors import Sites
from authsvc.web.middleware import Observed, Observer
from authsvc.web.openapi import build_openapi
from authsvc.web.request import State
from authsvc.web.routes import build_router, build_takers
from authsvc.wiring import REAL, Outside, open_flows


def create_app(settings: Settings | None = None, outside: Outside = REAL, *, with_jobs: bool = True) -> Observed:
    """The service. Without settings it reads them from the environment: that is how a server's worker calls it.

    Raises:
        ConfigurationError: the settings are not usable; names every fault.
    """
    if settings is None:
        settings = _read()
    metrics = Metrics(CollectorRegistry())
    issuer = urlsplit(settings.issuer)
    observer = Observer(metrics, outside.entropy, is_https=issuer.scheme == "https")
    pages = pages_of(settings)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[State]:
        async with open_flows(settings, metrics, outside, with_jobs=with_jobs) as flows:
            yield {
                "at_once": build_takers(issuer.path, flows, observer),
                "flows": flows,
                "documents": {
                    "metadata": msgspec.json.encode(
                        build_metadata(
                            settings.issuer,
                            pages.languages,
                            requires_pushed=settings.require_pushed_authorization_requests,
                            requires_signed=settings.require_signed_request_object,
                        )
                    ),
                    "openapi": msgspec.json.encode(build_openapi(settings.issuer)),
                },
                "pages": pages,
                "site": Site(own_site, issuer.path, Cookies(issuer.scheme == "https"), frozenset(settings.app_origins)),
                "jwks_max_age": settings.jwks_max_age,
                "trusted_proxies": settings.trusted_proxies,
            }

    own_site = f"{issuer.scheme}://{issuer.netloc}".lower()
    sites = Sites(own_site, settings.cors_origins, metrics.foreign_origin_requests.inc)
    apps = Sites(own_site, settings.app_origins, metrics.foreign_origin_requests.inc, with_cookies=True)
    router = build_router(issuer.path, lifespan, sites, apps)
    return Observed(router, observer)


def create_app_without_jobs() -> Observed:
    """The service, for where another process does the jobs."""
    return create_app(with_jobs=False)


def create_jobs() -> Starlette:
    """The jobs, and nothing that anybody could ask for."""
    settings = _read()
    metrics = Metrics(CollectorRegistry())

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with open_flows(settings, metrics):
            yield

    return Starlette(lifespan=lifespan)


def _read() -> Settings:
    settings = load(os.environ)
    logs.configure(settings.log_level, settings.log_format)
    return settings
