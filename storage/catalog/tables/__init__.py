"""The tables. Times are seconds since the epoch by the database's clock; JSON columns hold plain
documents of `api_schemas`; text columns with a closed set of values say which in a comment.
"""

from storage.catalog.tables.access import (
    ApiKeyRow,
    IdempotencyRow,
    PageSessionRow,
    UsageRow,
)
from storage.catalog.tables.base import LOCAL, Base, Digest, Id, Principal, Status
from storage.catalog.tables.campaigns import (
    CampaignEventRow,
    CampaignRoundRow,
    CampaignRow,
    CampaignStepRow,
)
from storage.catalog.tables.images import (
    AnnotationRow,
    AnnotationSetRow,
    ImageRow,
    ImageSetEntryRow,
    ImageSetRow,
)
from storage.catalog.tables.integrations import IntegrationRow, IntegrationTaskRow
from storage.catalog.tables.jobs import (
    ChunkRow,
    EventRow,
    JobItemRow,
    JobRow,
    LabelRow,
    ScheduleRow,
    ScheduleTickRow,
)
from storage.catalog.tables.label_sets import LabelSetEntryRow, LabelSetRow
from storage.catalog.tables.models import (
    ModelRow,
    ModelVersionRow,
    OntologyRow,
    PipelineRow,
    PipelineVersionRow,
)
from storage.catalog.tables.operations import DeviceRow, LockRow, UnreachableObjectRow, WorkerRow
from storage.catalog.tables.reviews import ReviewRow
from storage.catalog.tables.sources import ConnectionRow, UploadPartRow, UploadRow
from storage.catalog.tables.webhooks import (
    WebhookDeliveryRow,
    WebhookEndpointRow,
    WebhookTallyRow,
)

__all__ = [
    "AnnotationRow",
    "AnnotationSetRow",
    "ApiKeyRow",
    "Base",
    "CampaignEventRow",
    "CampaignRoundRow",
    "CampaignRow",
    "CampaignStepRow",
    "ChunkRow",
    "ConnectionRow",
    "DeviceRow",
    "Digest",
    "EventRow",
    "Id",
    "IdempotencyRow",
    "ImageRow",
    "ImageSetEntryRow",
    "ImageSetRow",
    "IntegrationRow",
    "IntegrationTaskRow",
    "JobItemRow",
    "JobRow",
    "LOCAL",
    "LabelRow",
    "LabelSetEntryRow",
    "LabelSetRow",
    "LockRow",
    "ModelRow",
    "ModelVersionRow",
    "OntologyRow",
    "PageSessionRow",
    "PipelineRow",
    "PipelineVersionRow",
    "Principal",
    "ReviewRow",
    "ScheduleRow",
    "ScheduleTickRow",
    "Status",
    "UnreachableObjectRow",
    "UploadPartRow",
    "UploadRow",
    "UsageRow",
    "WebhookDeliveryRow",
    "WebhookEndpointRow",
    "WebhookTallyRow",
    "WorkerRow",
]
