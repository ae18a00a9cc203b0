"""Reviews of labels, and the queue of labels that wait for one."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

QUEUES = (
    ("expected_gain", "label_id"),
    ("quality", "label_id"),
    ("job_id", "expected_gain", "label_id"),
    ("job_id", "quality", "label_id"),
)
# as in storage.catalog.review_queue; written out, since a migration must not change with it
FILL = """
UPDATE job_item SET expected_gain = (
    SELECT label.coverage * (1 - COALESCE(label.quality, 0)) + 0.5 * (1 - label.coverage)
    FROM label WHERE label.id = job_item.label_id
) WHERE label_id IS NOT NULL
"""


def upgrade() -> None:
    op.create_table(
        "review",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("label_id", sa.String(length=40), nullable=True),
        sa.Column("image_digest", sa.String(length=64), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("corrected_label_id", sa.String(length=40), nullable=True),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default="local", nullable=False),
        *(
            sa.ForeignKeyConstraint(
                [column], ["label.id"], name=op.f(f"fk_review_{column}_label"), ondelete="SET NULL"
            )
            for column in ("label_id", "corrected_label_id")
        ),
        sa.ForeignKeyConstraint(
            ["image_digest"], ["image.digest"], name=op.f("fk_review_image_digest_image")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
    )
    with op.batch_alter_table("review", schema=None) as batch_op:
        for column in ("label_id", "corrected_label_id", "image_digest"):
            batch_op.create_index(batch_op.f(f"ix_review_{column}"), [column], unique=False)
    op.add_column(
        "label",
        sa.Column("origin", sa.String(length=16), server_default="pipeline", nullable=False),
    )
    op.add_column(
        "label_set_entry",
        sa.Column("reviewed", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.execute("UPDATE label_set_entry SET reviewed = true WHERE annotation_key IS NOT NULL")
    op.add_column("job_item", sa.Column("expected_gain", sa.Double(), nullable=True))
    op.execute(FILL)
    for columns in QUEUES:
        op.create_index(
            f"ix_job_item_review_{'_'.join(columns)}",
            "job_item",
            list(columns),
            unique=False,
            sqlite_where=sa.text("expected_gain IS NOT NULL"),
            postgresql_where=sa.text("expected_gain IS NOT NULL"),
        )


def downgrade() -> None:
    for columns in reversed(QUEUES):
        op.drop_index(f"ix_job_item_review_{'_'.join(columns)}", table_name="job_item")
    op.drop_column("job_item", "expected_gain")
    op.drop_column("label_set_entry", "reviewed")
    op.drop_column("label", "origin")
    op.drop_table("review")
