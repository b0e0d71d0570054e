"""What payloads look like: types, no I/O, the same in every language that speaks to gbe (system.md section 3)."""
