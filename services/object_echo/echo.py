"""What an object echo answers, whatever its concurrency model."""

import logging

from services import safe_pickle
from services.connection.protocol import Answer

log = logging.getLogger("object-echo")


def echo(message: bytes) -> bytes:
    """Return a pickle of the object that `message` is a pickle of.

    Raises UnpicklingError for one that is not plain data, and RecursionError for one that nests too
    deep to be written.
    """
    return safe_pickle.dumps(safe_pickle.loads(message))


def refusal(error: Exception) -> bytes:
    """Return a pickle of {"error": text}: the protocol has no errors, so this is an object too."""
    log.info("refused: %s: %.200r", type(error).__name__, str(error))
    return safe_pickle.dumps({"error": str(error)})


ANSWER = Answer(echo, refusal)
