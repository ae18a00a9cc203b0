"""Campaigns: rounds of labels and training."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "campaign",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("pipeline_digest", sa.String(length=64), nullable=False),
        sa.Column("first_version_id", sa.String(length=40), nullable=False),
        sa.Column("teacher_version_id", sa.String(length=40), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(length=16), nullable=True),
        sa.Column("job_id", sa.String(length=40), nullable=True),
        sa.Column("next_at", sa.Double(), nullable=True),
        sa.Column("waiting", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("reason", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("event_seq", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default="local", nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("deleted_at", sa.Double(), nullable=True),
        *(
            _reference("campaign", f"{name}_version_id", "model_version.id")
            for name in ("first", "teacher")
        ),
        _reference("campaign", "job_id", "job.id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign")),
    )
    with op.batch_alter_table("campaign", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_campaign_status"), ["status"], unique=False)
    op.create_table(
        "campaign_round",
        sa.Column("campaign_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("teacher_version_id", sa.String(length=40), nullable=False),
        sa.Column("student_version_id", sa.String(length=40), nullable=True),
        sa.Column("label_set_id", sa.String(length=40), nullable=True),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("gates", sa.JSON(), nullable=False),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("reason", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        _reference("campaign_round", "campaign_id", "campaign.id", ondelete="CASCADE"),
        *(
            _reference("campaign_round", f"{name}_version_id", "model_version.id")
            for name in ("teacher", "student")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "number", name=op.f("pk_campaign_round")),
    )
    op.create_table(
        "campaign_step",
        sa.Column("campaign_id", sa.String(length=40), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=True),
        sa.Column("detail", sa.String(length=1024), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        _reference("campaign_step", "campaign_id", "campaign.id", ondelete="CASCADE"),
        _reference("campaign_step", "job_id", "job.id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("campaign_id", "round", "step", name=op.f("pk_campaign_step")),
    )
    with op.batch_alter_table("campaign_step", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_campaign_step_job_id"), ["job_id"], unique=False)
    op.create_table(
        "campaign_event",
        sa.Column("campaign_id", sa.String(length=40), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        _reference("campaign_event", "campaign_id", "campaign.id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("campaign_id", "seq", name=op.f("pk_campaign_event")),
    )


def _reference(
    table: str, column: str, target: str, ondelete: str | None = None
) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{target.partition('.')[0]}")
    return sa.ForeignKeyConstraint([column], [target], name=name, ondelete=ondelete)


def downgrade() -> None:
    for table in ("campaign_event", "campaign_step", "campaign_round", "campaign"):
        op.drop_table(table)
