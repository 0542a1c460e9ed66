"""Peers of tcp-echo."""
