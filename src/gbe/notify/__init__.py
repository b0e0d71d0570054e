"""The ntfy-compatible notification domain: what requests mean and what becomes of them (ntfy-http-api.md)."""
