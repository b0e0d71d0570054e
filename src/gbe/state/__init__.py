"""The state store: records, atomic transitions, deadlines, watches, leases. ``base`` is the contract."""
