"""The protocol between PostgreSQL, Redis and the workers, small enough to look at every one of its states."""
