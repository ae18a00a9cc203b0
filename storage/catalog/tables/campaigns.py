"""Campaigns, their rounds, the steps of these, and what happened."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables.base import LOCAL, Base, Digest, Id, Principal, Status


class CampaignRow(Base):
    """A state machine; who changes it holds the lock of this row."""

    __tablename__ = "campaign"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str | None] = mapped_column(String(128))
    # running | paused | stopping | succeeded | halted | failed | stopped
    status: Mapped[str] = mapped_column(Status)
    config: Mapped[dict[str, Any]]  # the body of POST /v1/campaigns, with everything spelt out
    pipeline_digest: Mapped[str] = mapped_column(Digest)
    first_version_id: Mapped[str] = mapped_column(ForeignKey("model_version.id"))
    teacher_version_id: Mapped[str] = mapped_column(ForeignKey("model_version.id"))
    round: Mapped[int] = mapped_column(default=0)  # 0 before the first
    step: Mapped[str | None] = mapped_column(Status)
    # the job of the step, while it goes on
    job_id: Mapped[str | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))
    next_at: Mapped[float | None]  # not looked at before
    waiting: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    event_seq: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(Principal, server_default=LOCAL)
    finished_at: Mapped[float | None]
    deleted_at: Mapped[float | None]

    __table_args__ = (Index(None, "status"),)


class CampaignRoundRow(Base):
    __tablename__ = "campaign_round"

    campaign_id: Mapped[str] = mapped_column(
        ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    # running | promoted | kept_teacher | failed | stopped
    status: Mapped[str] = mapped_column(Status)
    teacher_version_id: Mapped[str] = mapped_column(ForeignKey("model_version.id"))
    student_version_id: Mapped[str | None] = mapped_column(ForeignKey("model_version.id"))
    label_set_id: Mapped[str | None] = mapped_column(Id)
    seed: Mapped[int]
    gates: Mapped[list[Any]]
    scores: Mapped[dict[str, Any]]  # teacher | student → what an evaluation measured
    reason: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    started_at: Mapped[float]
    finished_at: Mapped[float | None]


class CampaignStepRow(Base):
    """A step of a round, inserted with its job: a second one of the same key cannot be."""

    __tablename__ = "campaign_step"

    campaign_id: Mapped[str] = mapped_column(
        ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True
    )
    round: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[str] = mapped_column(Status, primary_key=True)
    status: Mapped[str] = mapped_column(Status)  # running | done | skipped | failed
    job_id: Mapped[str | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))
    detail: Mapped[str | None] = mapped_column(String(1024))
    number: Mapped[int]  # order within the round
    started_at: Mapped[float]
    finished_at: Mapped[float | None]

    __table_args__ = (Index(None, "job_id"),)


class CampaignEventRow(Base):
    """Something that happened to a campaign. They are few and stay as long as the campaign."""

    __tablename__ = "campaign_event"

    campaign_id: Mapped[str] = mapped_column(
        ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(String(32))
    data: Mapped[dict[str, Any]]
    created_at: Mapped[float]
