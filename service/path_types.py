"""Kinds of path segments beside the framework's own."""

from starlette.convertors import Convertor, register_url_convertor

VERSION = "{number:version}"  # of a route: the number of a version


class VersionConvertor(Convertor[int]):
    """The number of a version.

    The framework's `int` takes any number of digits, and fails on thousands of them.
    """

    regex = "[0-9]{1,10}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("version", VersionConvertor())
