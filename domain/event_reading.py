"""Events of jobs as their streams need them: what is new, and what a client has missed."""

from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from sqlalchemy.orm import Session

from domain import campaign_events
from domain import events as written
from domain.job_states import is_done
from storage.catalog import campaigns, events
from storage.catalog.engine import Catalog
from storage.catalog.events import Event
from storage.catalog.tables import CampaignRow, JobRow

MAX_LOOK_EVENTS: Final = 500
MAX_REPLAYED_EVENTS: Final = 2000
JOBS_PER_QUERY: Final = 500
CAMPAIGN_PREFIX: Final = "cmp_"


@dataclass(frozen=True)
class Look:
    """What happened to a job after `after_seq` (None: nobody has looked before)."""

    after_seq: int | None
    upto_seq: int
    is_done: bool
    is_caught_up: bool
    events: list[Event] = field(default_factory=list)
    progress: Event | None = None  # the counts, if they changed after the last of the events


def look_at(catalog: Catalog, told: dict[str, int | None]) -> dict[str, Look | None]:
    """Return what is new of some jobs and campaigns, by the number up to which each is known.

    One query finds which have moved; only those are read. One that does not exist is None in the
    result, one without news is absent.
    """
    found: dict[str, Look | None] = {}
    with catalog.read() as session:
        numbers: dict[str, int] = {}
        job_ids = iter(told)
        while part := list(islice(job_ids, JOBS_PER_QUERY)):
            numbers |= events.event_numbers(session, part)
            of_campaigns = [name for name in part if name.startswith(CAMPAIGN_PREFIX)]
            if of_campaigns:
                numbers |= campaigns.event_numbers(session, of_campaigns)
        moved = [j for j, seq in told.items() if j not in numbers or numbers[j] != seq]
        for job_id in moved:
            found[job_id] = _look_at_one(session, job_id, told[job_id])
    return found


def _look_at_one(session: Session, topic: str, after_seq: int | None) -> Look | None:
    if topic.startswith(CAMPAIGN_PREFIX):
        campaign = session.get(CampaignRow, topic)
        return None if campaign is None else _look_at_campaign(session, campaign, after_seq)
    row = session.get(JobRow, topic)
    return None if row is None else _look(session, row, after_seq)


def _look_at_campaign(session: Session, row: CampaignRow, after_seq: int | None) -> Look:
    done = campaign_events.is_done(row)
    if after_seq is None:
        return Look(None, row.event_seq, done, is_caught_up=True)
    found = campaigns.events_after(session, row.id, after_seq, MAX_LOOK_EVENTS)
    upto_seq = found[-1].seq if found else row.event_seq
    return Look(after_seq, upto_seq, done, upto_seq >= row.event_seq, found)


def _look(session: Session, row: JobRow, after_seq: int | None) -> Look:
    if after_seq is None:
        return Look(None, row.event_seq, is_done(row), is_caught_up=True)
    page = events.events_between(
        session, row.id, after_seq=after_seq, upto_seq=row.event_seq, limit=MAX_LOOK_EVENTS
    )
    is_caught_up = page.upto_seq == row.event_seq
    return Look(
        after_seq,
        page.upto_seq,
        is_done(row),
        is_caught_up,
        page.events,
        progress_after(row, page.events) if is_caught_up else None,
    )


def progress_after(row: JobRow, told: list[Event]) -> Event | None:
    """Return `job.progress` as of now, unless the last event told it all."""
    if is_done(row) or (told and told[-1].seq >= row.event_seq):
        return None
    return Event(row.event_seq, "job.progress", written.facts_of(row).model_dump(mode="json"))


def missed_events(session: Session, row: JobRow, last_seq: int) -> list[Event] | None:
    """Return what a client that knows everything up to `last_seq` has missed.

    None if that cannot be told: a number from the future, too many events, or too old ones.
    """
    if not 0 <= last_seq <= row.event_seq:
        return None
    if not events.reaches_back_to(session, row.id, last_seq):
        return None
    page = events.events_between(
        session, row.id, after_seq=last_seq, upto_seq=row.event_seq, limit=MAX_REPLAYED_EVENTS
    )
    if page.upto_seq != row.event_seq:
        return None
    if last_seq == row.event_seq:
        return []
    progress = progress_after(row, page.events)
    return [*page.events, progress] if progress else page.events


def end_of(session: Session, row: JobRow) -> Event:
    """Return `job.done` of a finished job, also where it is not stored (any more)."""
    page = events.events_between(
        session, row.id, after_seq=row.event_seq - 1, upto_seq=row.event_seq, limit=1
    )
    if page.events and page.events[0].type == "job.done":
        return page.events[0]
    return Event(row.event_seq, "job.done", written.end_of(row))
