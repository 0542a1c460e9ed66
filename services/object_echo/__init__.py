"""Object echo: each object sent over a `multiprocessing.connection` comes back equal."""
