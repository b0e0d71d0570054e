"""The sweeper: finds what was lost, by its deadline (system.md section 7)."""
