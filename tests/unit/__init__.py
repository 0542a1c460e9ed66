"""Pieces that need no network."""
