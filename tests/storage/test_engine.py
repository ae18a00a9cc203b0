import threading
import time

import pytest
from sqlalchemy import func, select

from storage.catalog.engine import Catalog, db_now
from storage.catalog.tables import ModelRow
from storage.catalog.workers import drop_lock, hold_lock


class TestCatalog:
    def test_clock_of_the_database_is_utc_seconds(self, catalog: Catalog) -> None:
        with catalog.read() as session:
            assert session.scalar(select(db_now())) == pytest.approx(time.time(), abs=2.0)

    def test_failed_write_leaves_nothing(self, catalog: Catalog) -> None:
        def fail() -> None:
            with catalog.write() as session:
                session.add(ModelRow(name="m", created_at=0.0))
                session.flush()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        with catalog.read() as session:
            assert session.get(ModelRow, "m") is None

    def test_writers_wait_for_each_other(self, catalog: Catalog) -> None:
        def add(start: int) -> None:
            for i in range(start, start + 10):
                with catalog.write() as session:
                    session.scalar(select(func.count()).select_from(ModelRow))  # read, then write
                    session.add(ModelRow(name=f"m{i}", created_at=0.0))

        threads = [threading.Thread(target=add, args=(10 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with catalog.read() as session:
            assert session.scalar(select(func.count()).select_from(ModelRow)) == 40


class TestLock:
    def test_one_owner_at_a_time(self, catalog: Catalog) -> None:
        def hold(owner: str, seconds: float) -> bool:
            with catalog.write() as session:
                return hold_lock(session, "scheduler", owner, seconds)

        assert hold("a", 60)
        assert not hold("b", 60)
        assert hold("a", -1)  # renewed; now it has run out
        assert hold("b", 60)
        assert not hold("a", 60)
        with catalog.write() as session:
            drop_lock(session, "scheduler", "a")  # not a's any more: nothing happens
        assert not hold("a", 60)
        with catalog.write() as session:
            drop_lock(session, "scheduler", "b")
        assert hold("a", 60)
