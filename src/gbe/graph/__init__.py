"""Jobs of many tasks as a graph: definitions, references, conditions and how a job goes on. Pure rules, no I/O."""
