"""The description of this API (OpenAPI 3.1), built from the route table."""

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from authsvc import __version__
from authsvc.models import JsonObject
from authsvc.protocol.discovery import metadata_paths
from authsvc.web.errors import Renderer, render_bearer, render_oauth, render_problem
from authsvc.web.routes import METADATA, ROWS, Auth, Row

_WORD = re.compile(r"\w+")
_REF = "#/components/schemas/{name}"

_PROBLEM: JsonObject = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"detail": {"type": "string"}, "pointer": {"type": "string"}},
            },
        },
    },
}
_OAUTH_ERROR: JsonObject = {
    "type": "object",
    "description": "RFC 6749 §5.2",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}
_BEARER_ERROR: JsonObject = {
    "type": "object",
    "description": "RFC 6750 §3.1; who brought no token is told of no error",
    "properties": _OAUTH_ERROR["properties"],
}
_CREDENTIALS = ("client_id", "client_secret", "client_assertion_type", "client_assertion")
_ERRORS: dict[Renderer, tuple[str, str]] = {
    render_oauth: ("application/json", "OAuthError"),
    render_bearer: ("application/json", "BearerError"),
    render_problem: ("application/problem+json", "Problem"),
}
_SECURITY: dict[Auth, list[JsonObject]] = {
    Auth.PUBLIC: [],
    Auth.CLIENT: [{"client_secret_basic": []}, {}],
    Auth.USER: [{"access_token": []}],
}


def build_openapi(issuer: str) -> JsonObject:
    """The document for a service at this base URL."""
    types = [kind for row in ROWS for kind in (row.takes, row.gives) if isinstance(kind, type)]
    _, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    paths: JsonObject = {}
    for row in ROWS:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row)
    # The metadata stand at the root of the host, with the path of the issuer behind them (RFC 8414 §3).
    issuer_path = urlsplit(issuer).path
    (metadata_path,) = metadata_paths(issuer_path)
    paths[metadata_path] = {"servers": [{"url": issuer.removesuffix(issuer_path)}]} | paths.pop(METADATA.path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "authsvc", "version": __version__},
        "servers": [{"url": issuer}],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": _PROBLEM, "OAuthError": _OAUTH_ERROR, "BearerError": _BEARER_ERROR},
            "securitySchemes": {
                "client_secret_basic": {"type": "http", "scheme": "basic"},
                "access_token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }


def _operation(row: Row) -> JsonObject:
    operation: JsonObject = {
        "summary": (row.handle.__doc__ or "").strip(),
        "operationId": "_".join([row.method.lower(), *_WORD.findall(row.path)]),
        "security": _SECURITY[row.auth],
        "responses": {str(row.status): _success(row), "default": _error(row.errors)},
    }
    if isinstance(row.takes, tuple):
        operation["requestBody"] = _body("application/x-www-form-urlencoded", _form_schema(row.takes, row.auth))
    elif row.takes is not None:
        operation["requestBody"] = _body("application/json", _schema(row.takes))
    return operation


def _body(media_type: str, schema: JsonObject) -> JsonObject:
    return {"required": True, "content": {media_type: {"schema": schema}}}


def _form_schema(names: tuple[str, ...], auth: Auth) -> JsonObject:
    """The first parameter of a form is the one that must be there."""
    properties: dict[str, Any] = {name: {"type": "string"} for name in names}
    if auth is Auth.CLIENT:
        properties |= {name: {"type": "string"} for name in _CREDENTIALS}
    if "request" in names:  # which may stand for all the others
        return {"type": "object", "properties": properties}
    properties[names[0]] = {"type": "string", "minLength": 1}
    return {"type": "object", "required": [names[0]], "properties": properties}


def _success(row: Row) -> JsonObject:
    if row.gives is None:
        return {"description": "Done"}
    if isinstance(row.gives, str):
        return {"description": row.gives, "content": {row.media_type: {"schema": {"type": "object"}}}}
    return {"description": "Done", "content": {row.media_type: {"schema": _schema(row.gives)}}}


def _error(renderer: Renderer) -> JsonObject:
    media_type, name = _ERRORS[renderer]
    schema = {"$ref": _REF.format(name=name)}
    return {"description": "It did not work", "content": {media_type: {"schema": schema}}}


def _schema(kind: type) -> JsonObject:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema
