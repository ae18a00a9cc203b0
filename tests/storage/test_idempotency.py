from sqlalchemy import insert, select

from storage.catalog import idempotency
from storage.catalog.engine import Catalog, db_now
from storage.catalog.tables import IdempotencyRow


def test_old_answers_go_a_few_at_a_time(catalog: Catalog) -> None:
    ages_hours = {"a": 30, "b": 25, "c": 48, "d": 23, "e": 0}
    with catalog.write() as session:
        for key, hours in ages_hours.items():
            values = {
                "principal": "local",
                "key": key,
                "fingerprint": "f",
                "owner": "o",
                "locked_until": 0.0,
                "created_at": db_now() - hours * 3600,
            }
            session.execute(insert(IdempotencyRow).values(**values))
    left = []
    for _ in range(3):
        with catalog.write() as session:
            idempotency.remove_old(session, hours=24, limit=2)
            left.append(set(session.scalars(select(IdempotencyRow.key))))
    assert len(left[0]) == 3
    assert {"d", "e"} < left[0]
    assert left[1:] == [{"d", "e"}, {"d", "e"}]
