"""A request that is not answered by an application."""


class Refused(Exception):
    """Why a request is refused: an HTTP status, what is wrong in words, and more fields if any."""

    def __init__(self, status: str, detail: str, *fields: tuple[str, str]) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.fields = fields

    @classmethod
    def too_large(cls, longest_body: int) -> "Refused":
        """Make the refusal of a body of more than `longest_body` bytes."""
        return cls("413 Content Too Large", f"A body may have at most {longest_body} bytes.")
