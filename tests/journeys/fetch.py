"""Requests on connections of their own, so that any worker may get them."""

import ssl
from functools import partial

import httpx2

_TRUST = ssl.create_default_context()
"""Made once: reading all certificates that this machine trusts takes longer than the request."""

get = partial(httpx2.get, verify=_TRUST, timeout=20)
post = partial(httpx2.post, verify=_TRUST, timeout=20)
