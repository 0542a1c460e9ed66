"""What an object echo answers, whatever its concurrency model."""

from services import safe_pickle


def echo(message: bytes) -> bytes:
    """Return a pickle of the object that `message` is a pickle of.

    Raises UnpicklingError for one that is not plain data. The protocol has no way to say so to
    the client, which sees the connection close.
    """
    return safe_pickle.dumps(safe_pickle.loads(message))
