"""What a task is and how it may change: pure rules, shared by workers, clients and the sweeper. No I/O."""
