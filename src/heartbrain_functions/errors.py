"""What a function tells its user when it can't work: a code for programs, plain words for people."""

from __future__ import annotations


class FunctionError(Exception):
    """The input can't be used.

    Parameters
    ----------
    code
        For programs.
    message
        What is wrong and what to do, in words for a clinician; names no person.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
