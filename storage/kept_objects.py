"""Objects that the collector does not take away from under somebody who is about to refer to them.

The collector deletes an object when it was marked as unreachable long ago, and no row refers to it
still. Whoever is going to refer to an object that may lie there already (a put of the same
content, a look whether it exists) therefore takes its mark away first. From then on it cannot be
deleted before a new mark has grown old, which leaves hours to write the row.

A mark whose objects are being deleted at this moment stays until that is over; who wants to put
waits for it, and then stores the bytes anew. Deleting takes seconds. A collector that died over it
is not waited for: after `DELETING_SECONDS` none of its requests can be under way any more.
"""

import time
from collections.abc import Iterable
from typing import BinaryIO, Final

from api_schemas.problems import StorageUnavailable
from storage.catalog import unreachable
from storage.catalog.engine import Catalog
from storage.objects import Objects
from storage.store_address import StoreAddress
from storage.units import units_of

DELETING_SECONDS: Final = 300.0
_WAIT_SECONDS: Final = 15.0
_LOOK_EVERY_SECONDS: Final = 0.1


def keep(catalog: Catalog, keys: Iterable[str]) -> None:
    """Take the marks off objects that are about to be referred to again.

    Raises:
        StorageUnavailable: one of them is being deleted, and that takes long.
    """
    units = units_of(keys)
    if not units:
        return
    with catalog.read() as session:
        marked = unreachable.find_marked(session, units)
    for unit in marked:
        _unmark(catalog, unit)


def _unmark(catalog: Catalog, unit: str) -> None:
    waited_until = time.monotonic() + _WAIT_SECONDS
    while True:
        with catalog.write() as session:
            if unreachable.unmark(session, unit, DELETING_SECONDS):
                return
        if time.monotonic() >= waited_until:
            raise StorageUnavailable(
                "What was stored under this content before is being removed at this moment. "
                "Try again shortly."
            )
        time.sleep(_LOOK_EVERY_SECONDS)


class KeptObjects(Objects):
    """The same as `Objects`, and takes the marks off what it puts or finds."""

    def __init__(self, objects: Objects, catalog: Catalog) -> None:
        super().__init__(objects._store, objects._min_free_bytes)
        self._catalog = catalog

    @classmethod
    def open_kept(cls, address: StoreAddress | str, catalog: Catalog) -> "KeptObjects":
        """Open a store; errors as in `Objects.open`."""
        return cls(Objects.open(address), catalog)

    def put_new(self, key: str, data: bytes | BinaryIO) -> bool:
        keep(self._catalog, [key])
        return super().put_new(key, data)

    def put_file(self, key: str, file: BinaryIO) -> bool:
        keep(self._catalog, [key])
        return super().put_file(key, file)

    def put_stream(self, key: str, pieces: Iterable[bytes]) -> None:
        keep(self._catalog, [key])
        super().put_stream(key, pieces)

    def exists(self, key: str) -> bool:
        keep(self._catalog, [key])
        return super().exists(key)
