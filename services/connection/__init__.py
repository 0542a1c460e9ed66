"""Authenticated object connections, as `multiprocessing.connection` speaks them.

Without I/O, from the wire up: `frames` (where a message begins and ends), `handshake` (who may
speak), `protocol` (one connection: bytes in, bytes out) and `sessions` (all connections of a
server: time limits and memory). On top of them the drivers, `evented`, `coroutines` and
`threaded`: they hold the sockets and nothing else, and serve whatever `answer(message)` they are
given. A message is a pickle; `services.safe_pickle` decodes it.
"""
