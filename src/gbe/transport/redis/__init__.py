"""The transport on Redis Streams: Redis 7, Valkey 7.2 and AWS MemoryDB, one server or a cluster."""
