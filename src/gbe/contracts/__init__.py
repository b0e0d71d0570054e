"""Contracts as data: JSON Schemas and vectors in a folder, what of them may change, and how a new one begins."""
