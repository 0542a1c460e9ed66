"""Clients in other languages, and of other versions of Python, against the containers."""
