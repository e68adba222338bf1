"""The rest of the outside: what is neither PostgreSQL nor Redis nor HTTP in."""
