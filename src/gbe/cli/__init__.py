"""The `gbe` command: one file a command group."""
