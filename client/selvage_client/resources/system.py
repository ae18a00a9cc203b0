"""How the installation and the caller stand."""

from api_schemas.api_keys import QuotaReport
from api_schemas.system import System
from selvage_client.requests import system
from selvage_client.resources.base import AsyncResource, Resource


class Installation(Resource):
    """Methods of `Selvage` about the whole service."""

    def quota(self) -> QuotaReport:
        """Return limits and use of the API key."""
        return self._send(system.quota())

    def system(self) -> System:
        """Return versions, queues and workers."""
        return self._send(system.system())


class AsyncInstallation(AsyncResource):
    """The same for coroutines."""

    async def quota(self) -> QuotaReport:
        """Return limits and use of the API key."""
        return await self._send(system.quota())

    async def system(self) -> System:
        """Return versions, queues and workers."""
        return await self._send(system.system())
