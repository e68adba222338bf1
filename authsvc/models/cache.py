"""Whether Redis is believed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CacheState(StrEnum):
    """Whether Redis may be asked for marks."""

    TRUSTED = "R"
    WARMING = "W"
    POSTGRESQL = "G"


@dataclass(frozen=True, slots=True)
class CacheMode:
    """The row of `auth.cache_mode`."""

    state: CacheState
    epoch: int
    nonce: str
    settled: bool
    changed_at: datetime
    setbacks: int
    deployment: str
    lease_seconds: float
