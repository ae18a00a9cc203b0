"""The whole API: keys, connections, uploads, schedules, events, retention."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("hint", sa.String(length=16), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("quota", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default="local", nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.Column("last_used_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_api_key_secret_sha256")),
    )
    op.create_table(
        "connection",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default="local", nullable=False),
        sa.Column("tested_at", sa.Double(), nullable=True),
        sa.Column("test_result", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connection")),
        sa.UniqueConstraint("name", name=op.f("uq_connection_name")),
    )
    op.create_table(
        "ontology",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default="local", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ontology")),
        sa.UniqueConstraint("digest", name=op.f("uq_ontology_digest")),
    )
    op.create_table(
        "schedule",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("cron", sa.String(length=128), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("job", sa.JSON(), nullable=False),
        sa.Column("overlap", sa.String(length=16), nullable=False),
        sa.Column("catch_up_seconds", sa.Double(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("next_due_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default="local", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
    )
    with op.batch_alter_table("schedule", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_schedule_paused_next_due_at"), ["paused", "next_due_at"], unique=False
        )

    op.create_table(
        "unreachable_object",
        sa.Column("key", sa.String(length=256), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("marked_at", sa.Double(), nullable=False),
        sa.Column("deleting_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_unreachable_object")),
    )
    with op.batch_alter_table("unreachable_object", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_unreachable_object_marked_at"), ["marked_at"], unique=False
        )

    op.create_table(
        "upload",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("file_name", sa.String(length=1024), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("part_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("object_key", sa.String(length=256), nullable=False),
        sa.Column("multipart_id", sa.String(length=1024), nullable=True),
        sa.Column("problem", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default="local", nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
    )
    with op.batch_alter_table("upload", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_upload_status_expires_at"), ["status", "expires_at"], unique=False
        )

    op.create_table(
        "usage",
        sa.Column("principal", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("device_seconds", sa.Double(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("principal", "day", name=op.f("pk_usage")),
    )
    op.create_table(
        "pipeline_version",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default="local", nullable=False),
        sa.ForeignKeyConstraint(
            ["digest"], ["pipeline.digest"], name=op.f("fk_pipeline_version_digest_pipeline")
        ),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_pipeline_version")),
    )
    op.create_table(
        "upload_part",
        sa.Column("upload_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("etag", sa.String(length=256), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_id"],
            ["upload.id"],
            name=op.f("fk_upload_part_upload_id_upload"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("upload_id", "number", name=op.f("pk_upload_part")),
    )
    op.create_table(
        "event",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_event_job_id_job"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "seq", name=op.f("pk_event")),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_event_created_at"), ["created_at"], unique=False)

    op.create_table(
        "schedule_tick",
        sa.Column("schedule_id", sa.String(length=40), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=True),
        sa.Column("problem", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_schedule_tick_job_id_job"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["schedule.id"],
            name=op.f("fk_schedule_tick_schedule_id_schedule"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("schedule_id", "due_at", name=op.f("pk_schedule_tick")),
    )
    with op.batch_alter_table("annotation_set", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("created_by", sa.String(length=64), server_default="local", nullable=False)
        )
        batch_op.add_column(sa.Column("deleted_at", sa.Double(), nullable=True))

    with op.batch_alter_table("image_set", schema=None) as batch_op:
        batch_op.add_column(sa.Column("source", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(
            sa.Column("created_by", sa.String(length=64), server_default="local", nullable=False)
        )
        batch_op.add_column(sa.Column("touched_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("deleted_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("problem", sa.JSON(none_as_null=True), nullable=True))

    with op.batch_alter_table("image_set_entry", schema=None) as batch_op:
        # empty in the sets that stand: they are complete, and nobody adds to them
        batch_op.add_column(sa.Column("name_key", sa.String(length=32), nullable=True))
        batch_op.create_index(
            "uq_image_set_entry_name_key", ["image_set_id", "name_key"], unique=True
        )
        batch_op.drop_index(batch_op.f("ix_image_set_entry_image_set_id_image_digest"))
        batch_op.create_index(
            batch_op.f("ix_image_set_entry_image_digest_image_set_id"),
            ["image_digest", "image_set_id"],
            unique=False,
        )

    with op.batch_alter_table("annotation", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_annotation_image_digest"), ["image_digest"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_annotation_object_key"), ["object_key"], unique=False)

    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("pipeline_name", sa.String(length=80), nullable=True))
        batch_op.add_column(
            sa.Column("created_by", sa.String(length=64), server_default="local", nullable=False)
        )
        batch_op.add_column(sa.Column("schedule_id", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("schedule_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("deadline_at", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("deleted_at", sa.Double(), nullable=True))
        batch_op.add_column(
            sa.Column("device_seconds", sa.Double(), server_default="0", nullable=False)
        )
        batch_op.add_column(sa.Column("traceparent", sa.String(length=64), nullable=True))
        batch_op.alter_column("image_set_id", existing_type=sa.VARCHAR(length=40), nullable=True)
        batch_op.create_index(
            batch_op.f("ix_job_created_by_status"), ["created_by", "status"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_job_image_set_id"), ["image_set_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_job_model_version_id"), ["model_version_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_job_schedule_id"), ["schedule_id"], unique=False)
        batch_op.create_foreign_key(
            batch_op.f("fk_job_schedule_id_schedule"),
            "schedule",
            ["schedule_id"],
            ["id"],
            ondelete="SET NULL",
        )

    with op.batch_alter_table("job_item", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_job_item_job_id_finish_seq"), ["job_id", "finish_seq"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_job_item_label_id"), ["label_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_job_item_image_digest"), ["image_digest"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_job_item_evidence_digest"),
            ["evidence_digest"],
            unique=False,
            sqlite_where=sa.text("evidence_digest IS NOT NULL"),
            postgresql_where=sa.text("evidence_digest IS NOT NULL"),
        )

    with op.batch_alter_table("label", schema=None) as batch_op:
        batch_op.add_column(sa.Column("deleted_at", sa.Double(), nullable=True))
        batch_op.create_index(batch_op.f("ix_label_image_digest"), ["image_digest"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_label_model_version_id"), ["model_version_id"], unique=False
        )

    with op.batch_alter_table("model_version", schema=None) as batch_op:
        batch_op.alter_column(
            "size_bytes", existing_type=sa.Integer(), type_=sa.BigInteger(), existing_nullable=False
        )
        batch_op.add_column(
            sa.Column("created_by", sa.String(length=64), server_default="local", nullable=False)
        )
        batch_op.add_column(sa.Column("deleted_at", sa.Double(), nullable=True))

    with op.batch_alter_table("chunk", schema=None) as batch_op:
        batch_op.add_column(sa.Column("claimed_at", sa.Double(), nullable=True))

    with op.batch_alter_table("worker", schema=None) as batch_op:
        batch_op.add_column(sa.Column("facts", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.execute("DELETE FROM job WHERE image_set_id IS NULL")  # kinds that are not known before
    with op.batch_alter_table("worker", schema=None) as batch_op:
        batch_op.drop_column("facts")

    with op.batch_alter_table("chunk", schema=None) as batch_op:
        batch_op.drop_column("claimed_at")

    with op.batch_alter_table("model_version", schema=None) as batch_op:
        batch_op.alter_column(
            "size_bytes", existing_type=sa.BigInteger(), type_=sa.Integer(), existing_nullable=False
        )
        batch_op.drop_column("deleted_at")
        batch_op.drop_column("created_by")

    with op.batch_alter_table("label", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_label_model_version_id"))
        batch_op.drop_index(batch_op.f("ix_label_image_digest"))
        batch_op.drop_column("deleted_at")

    with op.batch_alter_table("job_item", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_item_evidence_digest"))
        batch_op.drop_index(batch_op.f("ix_job_item_image_digest"))
        batch_op.drop_index(batch_op.f("ix_job_item_label_id"))
        batch_op.drop_index(batch_op.f("ix_job_item_job_id_finish_seq"))

    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_job_schedule_id_schedule"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_job_schedule_id"))
        batch_op.drop_index(batch_op.f("ix_job_model_version_id"))
        batch_op.drop_index(batch_op.f("ix_job_image_set_id"))
        batch_op.drop_index(batch_op.f("ix_job_created_by_status"))
        batch_op.alter_column("image_set_id", existing_type=sa.VARCHAR(length=40), nullable=False)
        batch_op.drop_column("traceparent")
        batch_op.drop_column("device_seconds")
        batch_op.drop_column("deleted_at")
        batch_op.drop_column("deadline_at")
        batch_op.drop_column("schedule_at")
        batch_op.drop_column("schedule_id")
        batch_op.drop_column("created_by")
        batch_op.drop_column("pipeline_name")

    with op.batch_alter_table("image_set_entry", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_image_set_entry_image_digest_image_set_id"))
        batch_op.create_index(
            batch_op.f("ix_image_set_entry_image_set_id_image_digest"),
            ["image_set_id", "image_digest"],
            unique=False,
        )
        batch_op.drop_index("uq_image_set_entry_name_key")
        batch_op.drop_column("name_key")

    with op.batch_alter_table("image_set", schema=None) as batch_op:
        batch_op.drop_column("problem")
        batch_op.drop_column("deleted_at")
        batch_op.drop_column("touched_at")
        batch_op.drop_column("created_by")
        batch_op.drop_column("source")

    with op.batch_alter_table("annotation_set", schema=None) as batch_op:
        batch_op.drop_column("deleted_at")
        batch_op.drop_column("created_by")

    op.drop_table("schedule_tick")
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_event_created_at"))

    op.drop_table("event")
    op.drop_table("upload_part")
    op.drop_table("pipeline_version")
    op.drop_table("usage")
    with op.batch_alter_table("upload", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_upload_status_expires_at"))

    op.drop_table("upload")
    with op.batch_alter_table("annotation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_annotation_object_key"))
        batch_op.drop_index(batch_op.f("ix_annotation_image_digest"))

    with op.batch_alter_table("unreachable_object", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_unreachable_object_marked_at"))

    op.drop_table("unreachable_object")
    with op.batch_alter_table("schedule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_schedule_paused_next_due_at"))

    op.drop_table("schedule")
    op.drop_table("ontology")
    op.drop_table("connection")
    op.drop_table("api_key")
