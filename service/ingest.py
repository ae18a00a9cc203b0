"""Uploaded files → a stored image set: unpack, look at the header, digest, store. Blocking."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from domain import image_sets, quotas
from domain.image_sets import Intake
from formats.found_files import IntakeLimits, found_files
from service.state import ServiceState
from service.uploads import Upload

RENEW_EVERY_FILES: Final = 100


def ingest(state: ServiceState, upload: Upload, intake: Intake, renew: Callable[[], None]) -> None:
    """Store the images of an upload; one entry for each file, good or bad.

    Args:
        intake: where the entries go, batch by batch.
        renew: called now and then, to keep the request's idempotency lock.

    Raises:
        InputRefused: an archive that is unsafe or broken as a whole.
        StorageUnavailable: the object store failed.
    """
    limits = IntakeLimits(state.image_limits, state.archive_limits)
    taken = 0
    for part in upload.files:
        for found in found_files(part.name, part.file, limits):
            intake.waiting.append(image_sets.store(state.objects, found))
            taken += 1
            if taken % RENEW_EVERY_FILES == 0:
                renew()
            if intake.is_full:
                image_sets.flush(state.catalog, intake)
    image_sets.flush(state.catalog, intake)


@contextmanager
def new_set(
    state: ServiceState, name: str | None, created_by: str, upload_bytes: int
) -> Iterator[Intake]:
    """Open a set for the time of a `with` block, and remove it again if the block fails.

    When this process dies in the middle, the collector finds a set that nobody touches any more.

    Raises:
        QuotaExceeded: `created_by` may not store so many bytes today.
    """
    with state.catalog.write() as session:
        intake = image_sets.open_set(session, name, created_by)
        quotas.reserve_bytes(session, state.settings, created_by, upload_bytes)
    try:
        yield intake
    except BaseException:
        image_sets.discard(state.catalog, intake.image_set_id)
        quotas.give_back_bytes(state.catalog, created_by, upload_bytes)
        raise
