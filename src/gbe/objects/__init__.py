"""The object store: what is too large for a message or a record, and the claim checks that stand for it."""
