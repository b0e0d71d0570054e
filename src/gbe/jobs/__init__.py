"""Jobs of many tasks: clients that start and repair them, and the orchestrator that advances them."""
