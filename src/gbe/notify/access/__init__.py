"""Who may read and write which topics: users, roles, tokens, access-control entries (section 10)."""
