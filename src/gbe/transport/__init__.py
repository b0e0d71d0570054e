"""Moves messages between processes: one contract, and the engines that keep it."""
