"""The connection to Redis, Valkey or MemoryDB: one client for every part of gbe that keeps something there.

Built on redis-py, which owns URLs, TLS, authentication and the handshake, and on hiredis, which reads and writes the
protocol. What is ours is the use of the connections: many callers share one, what they send within one step of the
event loop leaves together, and redirects, restarts and failovers are retried until the caller's own deadline.
"""
