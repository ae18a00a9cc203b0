import threading
from collections.abc import Iterator

import pytest

from storage.ahead import read_ahead


def test_the_same_pieces_from_another_thread() -> None:
    threads = set()

    def pieces() -> Iterator[bytes]:
        for i in range(100):
            threads.add(threading.get_ident())
            yield bytes([i])

    with read_ahead(pieces()) as found:
        assert list(found) == [bytes([i]) for i in range(100)]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_an_error_arrives_after_the_pieces_before_it() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise KeyError("two")

    with read_ahead(pieces()) as found:
        assert next(found) == b"one"
        with pytest.raises(KeyError, match="two"):
            next(found)


@pytest.mark.timeout(20)
def test_who_leaves_early_stops_an_endless_producer() -> None:
    produced = 0

    def pieces() -> Iterator[bytes]:
        nonlocal produced
        while True:
            produced += 1
            yield b"x"

    with read_ahead(pieces()) as found:
        assert next(found) == b"x"
    assert produced <= 12
    assert "read-ahead" not in {thread.name for thread in threading.enumerate()}
