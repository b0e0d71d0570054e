"""The state store on Redis, Valkey or MemoryDB: hashes in buckets, one script per operation."""
