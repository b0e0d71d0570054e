"""Dead letters of all domains: one index in the state store, groups of alike failures, redrive and discard."""
