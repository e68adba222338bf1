"""What PostgreSQL keeps as `jsonb`, and what is sent as JSON."""

from typing import Any

JsonObject = dict[str, Any]
