"""The one error of this package."""

import pickle


class UnpicklingError(pickle.UnpicklingError, ValueError):
    """The bytes are not a pickle of plain data, or they exceed one of the limits."""
