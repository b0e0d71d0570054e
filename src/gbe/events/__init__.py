"""Events: typed publishers and handlers of ``{namespace}.events.…`` and of domains that users add."""
