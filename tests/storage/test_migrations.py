import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from storage.catalog import migrations
from storage.catalog.engine import Catalog
from storage.catalog.migrations import SchemaMismatch, require_current
from storage.catalog.tables import Base, JobRow

ROWS_OF_0001 = (
    "INSERT INTO image VALUES ('d1', 'images/d1/d1', 'image/png', 10, 4, 3, 1.0)",
    "INSERT INTO image_set (id, name, status, accepted, duplicate, rejected, created_at) "
    "VALUES ('set_1', 'one', 'ready', 1, 0, 0, 1.0)",
    "INSERT INTO job (id, type, status, phase, image_set_id, params, priority, failure_policy, "
    "job_metadata, planned, total, queued, running, succeeded, failed, skipped, cancelled, "
    "evidence_ready, stage_failed, event_seq, dispatched_seq, created_at) VALUES "
    "('job_1', 'generate', 'running', 'label', 'set_1', '{}', 0, '{}', '{}', "
    "1, 1, 1, 0, 0, 0, 0, 0, 0, '{}', 3, 0, 1.0)",
    "INSERT INTO job_item (job_id, position, external_id, file_name, image_digest, status, "
    "attempts, kills) VALUES ('job_1', 0, 'a.png', 'a.png', 'd1', 'queued', 0, 0)",
)


def _counts(catalog: Catalog) -> dict[str, object]:
    with catalog.read() as session:
        return {
            table: session.connection().exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
            for table in ("image", "image_set", "job", "job_item")
        }


class TestMigrations:
    def test_models_equal_the_migrated_schema(self, catalog: Catalog) -> None:
        with catalog.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []

    def test_up_down_up(self, catalog_url: str, catalog: Catalog) -> None:
        migrations.downgrade(catalog_url)
        assert set(inspect(catalog.engine).get_table_names()) <= {"alembic_version"}
        with pytest.raises(SchemaMismatch, match="selvage db upgrade"):
            require_current(catalog.engine)
        migrations.upgrade(catalog_url)
        require_current(catalog.engine)
        assert set(Base.metadata.tables) <= set(inspect(catalog.engine).get_table_names())

    def test_rows_survive_up_and_down(self, empty_catalog_url: str) -> None:
        url = empty_catalog_url
        migrations.upgrade(url, "0001")
        catalog = Catalog(url)
        with catalog.write() as session:
            for statement in ROWS_OF_0001:
                session.connection().exec_driver_sql(statement)
        migrations.upgrade(url)
        assert _counts(catalog) == {"image": 1, "image_set": 1, "job": 1, "job_item": 1}
        with catalog.read() as session:
            job = session.get(JobRow, "job_1")
            assert job is not None
            assert (job.created_by, job.device_seconds, job.deleted_at) == ("local", 0.0, None)
        migrations.downgrade(url, "0001")
        assert _counts(catalog) == {"image": 1, "image_set": 1, "job": 1, "job_item": 1}
        catalog.close()

    def test_upgrade_twice_changes_nothing(self, catalog_url: str, catalog: Catalog) -> None:
        migrations.upgrade(catalog_url)
        require_current(catalog.engine)

    def test_a_later_schema_is_refused(self, catalog: Catalog) -> None:
        with catalog.write() as session:
            session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(SchemaMismatch, match="9999"):
            require_current(catalog.engine)
