"""What an export would hold, found out without looking at a label."""

from collections import Counter

from api_schemas.exports import ExportLoss, ExportReport, ExportRequest
from domain import export_sources
from domain.export_sources import LeftOut, Resolved
from storage.catalog.engine import Catalog

_AFTER_ALL_JOBS = "job_~"  # no id is larger


def dry_run(
    catalog: Catalog, request: ExportRequest, resolved: Resolved, losses: list[ExportLoss]
) -> ExportReport:
    """Count the labels of a source that get in, and those that do not, by reason."""
    labels = 0
    left_out: Counter[str] = Counter()
    pages = export_sources.walk(
        catalog, request.source, request.filters, resolved.ontology, _AFTER_ALL_JOBS
    )
    for page in pages:
        for found in page:
            if isinstance(found, LeftOut):
                left_out[found.reason] += 1
            else:
                labels += 1
    return ExportReport(
        labels=labels,
        left_out=dict(left_out),
        losses=losses,
        lossless=not any(loss.is_loss and not loss.may_happen for loss in losses),
    )
