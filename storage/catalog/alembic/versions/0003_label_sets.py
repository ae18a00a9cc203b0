"""Label sets: frozen selections of labels."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "label_set",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("freezer", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("ontology", sa.JSON(), nullable=False),
        sa.Column("jobs", sa.JSON(), nullable=False),
        sa.Column("annotation_set_id", sa.String(length=40), nullable=True),
        sa.Column("selection", sa.JSON(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("reviewed", sa.Integer(), nullable=False),
        sa.Column("quality", sa.Double(), nullable=True),
        sa.Column("coverage", sa.Double(), nullable=True),
        sa.Column("class_pixels", sa.JSON(), nullable=False),
        sa.Column("class_images", sa.JSON(), nullable=False),
        sa.Column("made_for", sa.String(length=80), nullable=True),
        sa.Column("touched_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default="local", nullable=False),
        sa.Column("deleted_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_set")),
        sa.UniqueConstraint("made_for", name=op.f("uq_label_set_made_for")),
    )
    op.create_table(
        "label_set_entry",
        sa.Column("label_set_id", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.String(length=1024), nullable=False),
        sa.Column("image_digest", sa.String(length=64), nullable=False),
        sa.Column("label_id", sa.String(length=40), nullable=True),
        sa.Column("annotation_key", sa.String(length=256), nullable=True),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_digest"], ["image.digest"], name=op.f("fk_label_set_entry_image_digest_image")
        ),
        sa.ForeignKeyConstraint(
            ["label_id"], ["label.id"], name=op.f("fk_label_set_entry_label_id_label")
        ),
        sa.ForeignKeyConstraint(
            ["label_set_id"],
            ["label_set.id"],
            name=op.f("fk_label_set_entry_label_set_id_label_set"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("label_set_id", "position", name=op.f("pk_label_set_entry")),
    )
    with op.batch_alter_table("label_set_entry", schema=None) as batch_op:
        for column in ("annotation_key", "image_digest", "label_id"):
            batch_op.create_index(
                batch_op.f(f"ix_label_set_entry_{column}"), [column], unique=False
            )


def downgrade() -> None:
    op.drop_table("label_set_entry")
    op.drop_table("label_set")
