"""Events of a campaign: the stream's bytes → typed events, and when to come again. No I/O."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from api_schemas.campaigns import (
    Campaign,
    CampaignEventType,
    CampaignFacts,
    PromotionEvent,
    RoundEvent,
    StepEvent,
)
from selvage_client.calls import Call, nothing, segment
from selvage_client.events import LONGEST_PAUSE_SECONDS, MEDIA_TYPE, SILENCE_SECONDS, SseParser

DONE: Final = "campaign.done"
_DATA: Final[dict[str, type[BaseModel]]] = {
    "campaign.snapshot": Campaign,
    "campaign.status": CampaignFacts,
    "round.status": RoundEvent,
    "step.status": StepEvent,
    "model.promoted": PromotionEvent,
    DONE: CampaignFacts,
}


@dataclass(frozen=True)
class CampaignEvent:
    """Something that happened to a campaign; `type` says which document `data` is."""

    type: CampaignEventType
    data: Any
    id: str | None = None


class CampaignFeed:
    """Follows one campaign through any number of connections.

    Attributes:
        finished: `campaign.done` came, or the service has nothing more to tell.
    """

    def __init__(
        self,
        campaign_id: str,
        types: Sequence[CampaignEventType] | None,
        last_event_id: str | None,
    ) -> None:
        self._campaign_id = campaign_id
        self._types = None if types is None else frozenset[str](types)
        self._parser = SseParser()
        self._parser.last_id = last_event_id
        self.finished = False

    @property
    def pause_seconds(self) -> float:
        """How long to wait before coming again, after a stream broke or ended."""
        return min(self._parser.retry_seconds, LONGEST_PAUSE_SECONDS)

    def call(self) -> Call[None]:
        """Return the call for the stream, from the last event on."""
        self._parser.start_over()
        headers = {"Accept": MEDIA_TYPE}
        if self._parser.last_id:
            headers["Last-Event-ID"] = self._parser.last_id
        asked = {} if self._types is None else {"types": ",".join(sorted(self._types | {DONE}))}
        path = f"/v1/campaigns/{segment(self._campaign_id)}/events"
        return Call(
            "GET", path, nothing, params=asked, headers=headers, answer_seconds=SILENCE_SECONDS
        )

    def opened(self, status: int) -> bool:
        """Take the head of an answer; return whether its body is to be read."""
        self.finished = status == 204
        return not self.finished

    def read(self, chunk: bytes) -> Iterator[CampaignEvent]:
        """Yield the events that a chunk ends; of types that this client does not know: none."""
        for name, data in self._parser.feed(chunk):
            kind = _DATA.get(name)
            if kind is None:
                continue
            try:
                document = kind.model_validate(json.loads(data))
            except (ValidationError, ValueError):
                continue
            self.finished = self.finished or name == DONE
            if self._types is None or name in self._types:
                yield CampaignEvent(name, document, self._parser.last_id)  # type: ignore[arg-type]
