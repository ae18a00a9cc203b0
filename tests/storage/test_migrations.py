import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from storage.catalog import migrations
from storage.catalog.engine import Catalog
from storage.catalog.migrations import SchemaMismatch, require_current
from storage.catalog.tables import Base


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

    def test_upgrade_twice_changes_nothing(self, catalog_url: str, catalog: Catalog) -> None:
        migrations.upgrade(catalog_url)
        require_current(catalog.engine)

    def test_a_later_schema_is_refused(self, catalog: Catalog) -> None:
        with catalog.write() as session:
            session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(SchemaMismatch, match="9999"):
            require_current(catalog.engine)
