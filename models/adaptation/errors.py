"""Why a run ends without a result. Imports no torch."""


class RunRefused(Exception):  # noqa: N818  the name says what happened to the run
    """Another try would end the same.

    Attributes:
        code: `bad-spec`, `no-kept-labels`, `ontology-mismatch`, `wrong-architecture`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DiskFull(OSError):
    """A checkpoint or result could not be written; the checkpoint before it stays whole."""

    code = "disk-full"


class Stopped(Exception):  # noqa: N818
    """The process was asked to end."""
