"""The nouns: frozen records. A digest here is always SHA-256 of a machine secret; the secret itself is never kept.

Those that every introspection makes are msgspec's, which makes one in a tenth of the time.
"""

from authsvc.models.audit import AuditEvent, AuditFilter, AuditSeal
from authsvc.models.cache import CacheMode, CacheState
from authsvc.models.clients import (
    ApplicationType,
    AuthMethod,
    Client,
    ConsentPolicy,
    GrantType,
    IntrospectionRight,
    SubjectType,
)
from authsvc.models.json_object import JsonObject
from authsvc.models.limits import Budget, Limiter, Refusal
from authsvc.models.people import Connection, Consent, LogoutNotice, OpenSession, Session, User
from authsvc.models.tokens import (
    AccessToken,
    AuthorizationCode,
    ClaimAsk,
    ClaimsRequest,
    Generations,
    Grant,
    SealedRow,
    SigningKey,
)

__all__ = [
    "AccessToken",
    "ApplicationType",
    "AuditEvent",
    "AuditFilter",
    "AuditSeal",
    "AuthMethod",
    "AuthorizationCode",
    "Budget",
    "CacheMode",
    "CacheState",
    "ClaimAsk",
    "ClaimsRequest",
    "Client",
    "Connection",
    "Consent",
    "ConsentPolicy",
    "Generations",
    "Grant",
    "GrantType",
    "IntrospectionRight",
    "JsonObject",
    "Limiter",
    "LogoutNotice",
    "OpenSession",
    "Refusal",
    "SealedRow",
    "Session",
    "SigningKey",
    "SubjectType",
    "User",
]
