"""The relay: passes TCP and UDP on, and does to it what it is told (README.md)."""
