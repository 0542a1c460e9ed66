"""Authenticated object connections, as `multiprocessing.connection` speaks them.

From the wire up: `frames` (where a message begins and ends), `handshake` (who may speak), and
`session`, which puts the two together; `services.safe_pickle` decodes what a message says. None
of them touches a socket: bytes go in and bytes come out, so that a server shows all of its own I/O.
"""
