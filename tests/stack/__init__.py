"""The containers, through the Docker SDK."""
