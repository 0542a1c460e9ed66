"""What an object echo answers, whatever its concurrency model."""

import logging
from collections.abc import Iterator

from services import safe_pickle
from services.connection.protocol import Answer

log = logging.getLogger("object-echo")


def echo(message: bytes) -> Iterator[bytes | None]:
    """Yield a pickle of the object that `message` is a pickle of, and before it None between steps.

    Raises UnpicklingError for one that is not plain data, and RecursionError for one that nests too
    deep to be written.
    """
    value = yield from safe_pickle.loads_in_steps(message)
    yield safe_pickle.dumps(value)


def refusal(error: Exception) -> bytes:
    """Return a pickle of {"error": text}: the protocol has no errors, so this is an object too."""
    log.info("refused: %s: %.200r", type(error).__name__, str(error))
    return safe_pickle.dumps({"error": str(error)})


ANSWER = Answer(echo, refusal)
