from storage.catalog.engine import Catalog
from storage.catalog.labels import add_labels, get_labels
from tests.support.rows import add_job, digest_of, label_values


def test_the_first_label_of_a_digest_stands(catalog: Catalog) -> None:
    job = add_job(catalog, images=3)
    first, again, second = (label_values(catalog, job, digest_of(i)) for i in (0, 0, 1))
    with catalog.write() as session:
        assert add_labels(session, [first]) == {first["digest"]: first["id"]}
    with catalog.write() as session:
        found = add_labels(session, [again, second])
    assert found == {first["digest"]: first["id"], second["digest"]: second["id"]}
    with catalog.read() as session:
        assert set(get_labels(session, [first["id"], again["id"]])) == {first["id"]}


def test_every_column_is_kept(catalog: Catalog) -> None:
    job = add_job(catalog, images=2)
    rows = [label_values(catalog, job, digest_of(i)) for i in (0, 1)]
    rows[1] |= {"quality": None, "class_pixels": {}, "lineage": {"seed": 3, "window_px": None}}
    with catalog.write() as session:
        add_labels(session, rows)
    with catalog.read() as session:
        found = get_labels(session, [row["id"] for row in rows])
    for row in rows:
        kept = found[row["id"]]
        assert {name: getattr(kept, name) for name in row} == row
        assert kept.created_at > 1.6e9


def test_no_label_is_no_statement(catalog: Catalog) -> None:
    with catalog.read() as session:
        assert add_labels(session, []) == {}
