"""PostgreSQL: one module per table, one function per query."""
