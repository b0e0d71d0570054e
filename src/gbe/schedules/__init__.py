"""Schedules: what starts tasks and jobs by time, by an event, or by a call (system.md section 6)."""
