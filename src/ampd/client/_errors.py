"""The one error of the client."""

from __future__ import annotations


class ApiError(Exception):
    """The Admin API refused a request, or could not be reached.

    ``code`` is the ``error_code`` of the answer: a word of :class:`ampd.errors.ErrorCode`, or one that a newer server
    knows. ``message`` is for people. ``status`` is the HTTP status, None when there was no answer.
    """

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = str(code)
        self.message = message
        self.status = status

    def __repr__(self) -> str:
        return f"ApiError(code={self.code!r}, message={self.message!r}, status={self.status!r})"
