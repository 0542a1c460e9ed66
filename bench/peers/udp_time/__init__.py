"""Peers of udp-time."""
