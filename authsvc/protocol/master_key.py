"""JWK-10: the master key. It seals what is secret in PostgreSQL, and is itself never there.

While it is being exchanged there are two: the current one seals and opens, the previous one only opens.
"""

from authsvc.errors import ConfigurationError
from authsvc.protocol.keys import master_key_id, open_private, parse_master_key, seal_private


class MasterKey:
    """The current master key and, for as long as rows are sealed with it, the previous one."""

    def __init__(self, current: bytes, previous: bytes | None = None) -> None:
        self._current = current
        self.id = master_key_id(current)
        """Stands beside what is sealed, and tells nothing of the key."""
        self._known = {master_key_id(key): key for key in (previous, current) if key is not None}

    @classmethod
    def parse(cls, current: str, previous: str | None = None) -> "MasterKey":
        """Read both from their settings.

        Raises:
            ConfigurationError: one is malformed, or was typed and not drawn.
        """
        return cls(parse_master_key(current), None if previous is None else parse_master_key(previous))

    def seal(self, name: str, secret: bytes, nonce: bytes) -> bytes:
        """Encrypt, bound to `name`; to be kept with `id`. `nonce` is `NONCE_BYTES` fresh random bytes."""
        return seal_private(self._current, name, secret, nonce)

    def open(self, name: str, sealed: bytes, master_key_id: str) -> bytes:
        """What was sealed with the master key of that id.

        Raises:
            ConfigurationError: that is another one, or it was sealed for another name, or was altered since.
        """
        key = self._known.get(master_key_id)
        if key is None:
            raise ConfigurationError(
                [f"the master key does not open {name}: it has the id {self.id}, and {master_key_id} is needed"]
            )
        return open_private(key, name, sealed)
