"""The catalog: every fact that must not be lost, in SQLite or PostgreSQL."""
