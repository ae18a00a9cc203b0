"""What every request has at hand."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from domain.settings import Settings
from formats.archive_rules import ArchiveLimits
from formats.opening import ImageLimits
from service.health_checks import HealthChecks
from service.key_gate import KeyGate
from storage.catalog.engine import Catalog
from storage.objects import Objects
from storage.queue import Queue


@dataclass(frozen=True)
class ServiceState:
    """Connections of one API process."""

    settings: Settings
    catalog: Catalog
    objects: Objects
    queue: Queue
    keys: KeyGate = field(default_factory=KeyGate)
    health: HealthChecks = field(default_factory=HealthChecks)

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(
            max_pixels=self.settings.max_image_pixels, max_bytes=self.settings.max_image_bytes
        )

    @property
    def archive_limits(self) -> ArchiveLimits:
        return ArchiveLimits(
            max_entries=self.settings.max_archive_entries,
            max_total_bytes=self.settings.max_archive_bytes,
            max_member_bytes=self.settings.max_image_bytes,
        )


def _state(request: Request) -> ServiceState:
    state: ServiceState = request.app.state.selvage
    return state


State = Annotated[ServiceState, Depends(_state)]
