"""Moves an ntfy installation over: what its SQLite files hold, and how it gets here."""
