"""Durable tasks: clients that submit them and workers that run them (system.md section 6)."""
