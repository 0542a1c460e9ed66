"""A request that gets an error instead of a response of the application."""


class HTTPError(Exception):
    """A status, a sentence for the client that says what is wrong, and more headers if any."""

    def __init__(self, status: str, detail: str, *headers: tuple[str, str]) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


class BadRequest(HTTPError):
    """A request that breaks the rules of HTTP."""

    def __init__(self, detail: str) -> None:
        super().__init__("400 Bad Request", detail)


class BodyTooLarge(HTTPError):
    """A request with a body of more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__("413 Content Too Large", f"A body may have at most {limit} bytes.")
