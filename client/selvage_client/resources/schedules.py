"""Schedules."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from api_schemas.jobs import Job
from api_schemas.schedules import Overlap, Schedule, ScheduleTick
from selvage_client.requests import schedules
from selvage_client.resources.base import AsyncResource, Resource


class Schedules(Resource):
    """`client.schedules`: jobs by the clock."""

    def create(
        self,
        name: str,
        cron: str,
        job: Mapping[str, Any] | BaseModel,
        *,
        time_zone: str | None = None,
        overlap: Overlap | None = None,
        catch_up_seconds: float | None = None,
        paused: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Schedule:
        """Start a job at every due time.

        Args:
            cron: minute, hour, day of the month, month, day of the week: `30 2 * * MON-FRI`.
            job: as for `create_job`, without `schedule_at` and `deadline_at`.
            time_zone: in which `cron` is read, such as `Europe/Berlin`; UTC without it.
            overlap: while an earlier job goes on, `skip` a due time or `queue` its job.
        """
        fields = {
            "name": name,
            "cron": cron,
            "job": job,
            "time_zone": time_zone,
            "overlap": overlap,
            "catch_up_seconds": catch_up_seconds,
            "paused": paused,
        }
        return self._send(schedules.create(fields, idempotency_key))

    def get(self, schedule_id: str) -> Schedule:
        return self._send(schedules.schedule(schedule_id))

    def change(self, schedule_id: str, **fields: Any) -> Schedule:
        """Change what is given: the arguments of `create`."""
        return self._send(schedules.change(schedule_id, fields))

    def pause(self, schedule_id: str) -> Schedule:
        """Let due times pass."""
        return self._send(schedules.pause(schedule_id))

    def resume(self, schedule_id: str) -> Schedule:
        """Go on with the next due time."""
        return self._send(schedules.resume(schedule_id))

    def run(self, schedule_id: str, *, idempotency_key: str | None = None) -> Job:
        """Start the job now as well."""
        return self._send(schedules.run(schedule_id, idempotency_key))

    def ticks(self, schedule_id: str) -> Iterator[ScheduleTick]:
        """Yield what became of the due times, the latest first."""
        return self._entries(schedules.ticks(schedule_id))

    def delete(self, schedule_id: str) -> None:
        """Remove a schedule; its jobs stay."""
        self._send(schedules.delete_schedule(schedule_id))

    def list(self) -> Iterator[Schedule]:
        return self._entries(schedules.schedules())


class AsyncSchedules(AsyncResource):
    """`client.schedules`: jobs by the clock."""

    async def create(
        self,
        name: str,
        cron: str,
        job: Mapping[str, Any] | BaseModel,
        *,
        time_zone: str | None = None,
        overlap: Overlap | None = None,
        catch_up_seconds: float | None = None,
        paused: bool | None = None,
        idempotency_key: str | None = None,
    ) -> Schedule:
        """Start a job at every due time.

        Args:
            cron: minute, hour, day of the month, month, day of the week: `30 2 * * MON-FRI`.
            job: as for `create_job`, without `schedule_at` and `deadline_at`.
            time_zone: in which `cron` is read, such as `Europe/Berlin`; UTC without it.
            overlap: while an earlier job goes on, `skip` a due time or `queue` its job.
        """
        fields = {
            "name": name,
            "cron": cron,
            "job": job,
            "time_zone": time_zone,
            "overlap": overlap,
            "catch_up_seconds": catch_up_seconds,
            "paused": paused,
        }
        return await self._send(schedules.create(fields, idempotency_key))

    async def get(self, schedule_id: str) -> Schedule:
        return await self._send(schedules.schedule(schedule_id))

    async def change(self, schedule_id: str, **fields: Any) -> Schedule:
        """Change what is given: the arguments of `create`."""
        return await self._send(schedules.change(schedule_id, fields))

    async def pause(self, schedule_id: str) -> Schedule:
        """Let due times pass."""
        return await self._send(schedules.pause(schedule_id))

    async def resume(self, schedule_id: str) -> Schedule:
        """Go on with the next due time."""
        return await self._send(schedules.resume(schedule_id))

    async def run(self, schedule_id: str, *, idempotency_key: str | None = None) -> Job:
        """Start the job now as well."""
        return await self._send(schedules.run(schedule_id, idempotency_key))

    def ticks(self, schedule_id: str) -> AsyncIterator[ScheduleTick]:
        """Yield what became of the due times, the latest first."""
        return self._entries(schedules.ticks(schedule_id))

    async def delete(self, schedule_id: str) -> None:
        """Remove a schedule; its jobs stay."""
        await self._send(schedules.delete_schedule(schedule_id))

    def list(self) -> AsyncIterator[Schedule]:
        return self._entries(schedules.schedules())
