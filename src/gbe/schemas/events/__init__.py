"""Payloads of ``{namespace}.events.…`` (system.md section 3), one file a domain, and the registry that knows them."""
