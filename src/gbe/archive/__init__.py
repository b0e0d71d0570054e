"""The archive: what was published, in cold storage."""
