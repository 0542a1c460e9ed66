"""Remote procedure calls over a `multiprocessing.connection`."""
