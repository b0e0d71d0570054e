"""The archive: what was published, kept in cold storage where an auditor finds it (system.md section 7)."""
