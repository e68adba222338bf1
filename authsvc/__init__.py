"""authsvc: an identity service whose revoked tokens are dead everywhere the moment the call returns."""

__version__ = "0.1.0"
