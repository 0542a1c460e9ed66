"""What an object echo answers, whatever its concurrency model."""

from services.connection import plain_pickle


def echo(message: bytes) -> bytes:
    """Return a pickle of the object that `message` is a pickle of.

    Raises Refused for one that is not plain data. The protocol has no way to say so to the
    client, which sees the connection close.
    """
    return plain_pickle.dumps(plain_pickle.loads(message))
