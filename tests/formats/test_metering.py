"""A file that stops a parser that takes too much."""

import io

import pytest

from formats.errors import InputRefused
from formats.metering import MAX_READS, MeteredFile


def test_bytes_are_bounded_until_the_bound_is_lifted() -> None:
    file = MeteredFile(io.BytesIO(bytes(100)), max_bytes=10)
    assert file.read(10) == bytes(10)
    with pytest.raises(InputRefused, match="metadata"):
        file.read(1)
    file.lift_bytes()
    assert file.read() == bytes(89)


def test_reads_are_bounded_always() -> None:
    file = MeteredFile(io.BytesIO(), max_bytes=None)
    for _ in range(MAX_READS):
        file.read(1)
    with pytest.raises(InputRefused, match="metadata"):
        file.read(1)


def test_seeking_is_that_of_the_file() -> None:
    file = MeteredFile(io.BytesIO(b"abc"), max_bytes=3)
    file.seek(1)
    assert (file.tell(), file.read()) == (1, b"bc")
