"""Each server as a local process, held to its contract."""
