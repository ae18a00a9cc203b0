import threading

from sqlalchemy import select

from storage.catalog.engine import Catalog
from storage.catalog.image_sets import add_images
from storage.catalog.tables import ModelRow
from storage.catalog.upsert import insert_new
from tests.support.rows import digest_of


def test_first_row_stays(catalog: Catalog) -> None:
    with catalog.write() as session:
        assert insert_new(session, ModelRow, {"name": "m", "created_at": 1.0}, ["name"])
    with catalog.write() as session:
        assert not insert_new(session, ModelRow, {"name": "m", "created_at": 2.0}, ["name"])
        assert insert_new(session, ModelRow, {"name": "n", "created_at": 3.0}, ["name"])
    with catalog.read() as session:
        found = {row.name: row.created_at for row in session.scalars(select(ModelRow))}
    assert found == {"m": 1.0, "n": 3.0}


def test_uploads_that_share_images_do_not_deadlock(catalog: Catalog) -> None:
    errors: list[BaseException] = []
    for round_ in range(5):
        images = [
            {
                "digest": digest_of((round_, i)), "object_key": "images/a",
                "media_type": "image/png", "size_bytes": 1, "width_px": 1, "height_px": 1,
            }
            for i in range(200)
        ]  # fmt: skip
        barrier = threading.Barrier(2)

        def add(rows: list[dict[str, object]], gate: threading.Barrier = barrier) -> None:
            gate.wait()
            try:
                with catalog.write() as session:
                    add_images(session, rows)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=add, args=(images[::step],)) for step in (1, -1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
