"""Campaigns: rounds of labels and training that go on by themselves."""

from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query
from fastapi.responses import Response
from sqlalchemy.orm import Session

from api_schemas.campaigns import (
    CAMPAIGN_EVENT_TYPES,
    Campaign,
    CampaignCreate,
    CampaignPage,
    Round,
    RoundPage,
)
from api_schemas.problems import NotFound
from domain import campaign_events
from domain import campaigns as use_cases
from service import campaign_rendering as rendering
from service import openapi
from service.deletion import Force
from service.event_encoding import encode
from service.event_stream import EventStream
from service.events import Hub, LastEventId, Live, Opening, parse_number, parse_types
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.paging import PageSize, PageToken, decode_token, encode_token
from service.path_types import VERSION
from service.principals import Caller, Principal
from service.state import ServiceState, State
from storage.catalog import campaigns
from storage.catalog.engine import Catalog
from storage.catalog.events import Event
from storage.catalog.tables import CampaignRow

router = APIRouter(prefix="/v1/campaigns", tags=["campaigns"])
ALL_TYPES = frozenset[str](CAMPAIGN_EVENT_TYPES)
RoundNumber = Annotated[int, Path(ge=1, le=999_999_999)]


@router.post("", status_code=201, response_model=Campaign, summary="Start a campaign")
def create_campaign(
    request: Annotated[CampaignCreate, Body(openapi_examples=openapi.CAMPAIGN_EXAMPLES)],
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Label the target images, train on the labels, measure, decide; then again with the model
    that stands. Each step is a job; see docs/rounds.md.
    """
    fingerprint = fingerprint_of("POST", "/v1/campaigns", request.model_dump(mode="json"))
    ticket = Ticket(state, idempotency_key, fingerprint)
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket, state.catalog.write() as session:
        row = use_cases.create(session, request, caller.id)
        body = rendering.campaign(session, row).model_dump_json()
        location = f"/v1/campaigns/{row.id}"
        ticket.complete(session, 201, location, body)
    state.queue.wake()
    return Response(body, 201, {"Location": location}, media_type="application/json")


@router.get("", summary="List campaigns, newest first")
def list_campaigns(
    state: State, page_size: PageSize = 100, page_token: PageToken = None
) -> CampaignPage:
    with state.catalog.read() as session:
        rows = campaigns.list_campaigns(session, decode_token(page_token), page_size + 1)
        found = [rendering.campaign(session, row) for row in rows[:page_size]]
    more = len(rows) > page_size
    return CampaignPage(
        campaigns=found,
        next_page_token=encode_token(rows[page_size - 1].id) if more else None,
    )


@router.get("/{campaign_id}", summary="How a campaign stands")
def get_campaign(campaign_id: str, state: State) -> Campaign:
    with state.catalog.read() as session:
        return rendering.campaign(session, use_cases.get_campaign(session, campaign_id))


@router.get("/{campaign_id}/rounds", summary="The rounds of a campaign, in order")
def list_rounds(campaign_id: str, state: State) -> RoundPage:
    with state.catalog.read() as session:
        row = use_cases.get_campaign(session, campaign_id)
        found = campaigns.list_rounds(session, row.id)
        return RoundPage(rounds=[rendering.round_of(session, row, one) for one in found])


@router.get(
    f"/{{campaign_id}}/rounds/{VERSION}", summary="One round: steps, gates, scores, lineage"
)
def get_round(campaign_id: str, number: RoundNumber, state: State) -> Round:
    with state.catalog.read() as session:
        row = use_cases.get_campaign(session, campaign_id)
        found = campaigns.get_round(session, row.id, number)
        if found is None:
            raise NotFound(f"Campaign '{row.id}' has had {row.round} rounds so far.")
        return rendering.round_of(session, row, found)


@router.post("/{campaign_id}:pause", summary="Begin no further step")
def pause_campaign(campaign_id: str, state: State) -> Campaign:
    """A job that is under way goes on; its result is taken when the campaign goes on."""
    with state.catalog.write() as session:
        return rendering.campaign(session, use_cases.pause(session, campaign_id))


@router.post("/{campaign_id}:resume", summary="Go on with the next step")
def resume_campaign(campaign_id: str, state: State) -> Campaign:
    with state.catalog.write() as session:
        document = rendering.campaign(session, use_cases.resume(session, campaign_id))
    state.queue.wake()
    return document


@router.post("/{campaign_id}:stop", status_code=202, summary="End a campaign")
def stop_campaign(campaign_id: str, state: State) -> Campaign:
    """Its job is cancelled. Models, label sets and labels stay. Asking again, or too late, does no
    harm.
    """
    with state.catalog.write() as session:
        document = rendering.campaign(session, use_cases.stop(session, campaign_id))
    state.queue.wake()
    return document


@router.delete("/{campaign_id}", status_code=204, summary="Delete a campaign")
def delete_campaign(campaign_id: str, state: State, caller: Caller, force: Force = False) -> None:
    """Its models, label sets and jobs stay. With `force` one that goes on is stopped as well."""
    _check_owner(state, caller, campaign_id)
    use_cases.delete(state.catalog, campaign_id, force=force)
    state.queue.wake()


def _check_owner(state: ServiceState, caller: Principal, campaign_id: str) -> None:
    with state.catalog.read() as session:
        row = campaigns.get_campaign(session, campaign_id)
    if row is not None:
        caller.require_ownership(row.created_by)


@router.get(
    "/{campaign_id}/events",
    summary="What happens to a campaign, as it happens",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events, until `campaign.done`",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'event: step.status\ndata: {"campaign":"cmp_…","round":1,'
                    '"step":"train","status":"running"}\nid: 12\n\n',
                }
            },
        },
        204: {"description": "The campaign is over and you have its last event"},
    },
)
async def stream_events(
    campaign_id: str,
    state: State,
    hub: Hub,
    last_event_id: LastEventId = None,
    types: Annotated[
        list[str] | None,
        Query(description="Only these, with commas: " + ", ".join(CAMPAIGN_EVENT_TYPES)),
    ] = None,
) -> Response:
    """Stream what happens to a campaign; polling tells the same facts, only later. Events of its
    jobs are those of `GET /v1/jobs/{id}/events`.
    """
    wanted = parse_types(types, ALL_TYPES)
    last_seq = parse_number(last_event_id)
    async with AsyncExitStack() as stack:
        subscription = await stack.enter_async_context(hub.subscribe(campaign_id, wanted))
        opening = await hub.read(partial(open_stream, state.catalog, campaign_id, last_seq))
        if opening.is_done and last_seq is not None and not opening.lines:
            return Response(status_code=204)
        reopen = partial(open_stream, state.catalog, campaign_id, None)
        live = Live(hub, subscription, reopen, state.settings.stream_keep_alive_seconds)
        return EventStream(
            live.parts(opening, state.settings.stream_max_seconds),
            held=stack.pop_all(),
            hang_up=subscription.end,
            send_seconds=state.settings.stream_send_seconds,
        )


def open_stream(catalog: Catalog, campaign_id: str, last_seq: int | None) -> Opening:
    """Return what comes first: what was missed, or a snapshot.

    Raises:
        NotFound: unknown campaign.
    """
    with catalog.read() as session:
        row = use_cases.get_campaign(session, campaign_id)
        missed = None
        if last_seq is not None:
            missed = campaign_events.missed_events(session, row, last_seq)
        found = _snapshot(session, row) if missed is None else missed
        done = campaign_events.is_done(row)
        return Opening([encode(event) for event in found], row.event_seq, done)


def _snapshot(session: Session, row: CampaignRow) -> list[Event]:
    document = rendering.campaign(session, row).model_dump(mode="json")
    if not campaign_events.is_done(row):
        return [Event(row.event_seq, "campaign.snapshot", document)]
    end = campaign_events.end_of(row)
    return [Event(row.event_seq - 1, "campaign.snapshot", document), end]
