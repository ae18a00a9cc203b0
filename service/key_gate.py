"""Whether API keys are asked for; looked up every few seconds at most."""

import time
from typing import Final

from domain.settings import Settings
from storage.catalog.api_keys import any_unrevoked
from storage.catalog.engine import Catalog

CACHE_SECONDS: Final = 2.0


class KeyGate:
    """Remembers for a moment whether any key exists. Safe to share between threads."""

    def __init__(self) -> None:
        self._any_key = False
        self._until = 0.0

    def known(self, settings: Settings) -> bool | None:
        """Whether keys are asked for; None when the catalog has to be looked at."""
        if settings.require_keys != "auto":
            return settings.require_keys == "always"
        if not settings.is_loopback:
            return True
        return self._any_key if time.monotonic() < self._until else None

    def look(self, catalog: Catalog) -> bool:
        """Ask the catalog. Blocking."""
        with catalog.read() as session:
            self._any_key = any_unrevoked(session)
        self._until = time.monotonic() + CACHE_SECONDS
        return self._any_key

    def forget(self) -> None:
        """Look again at the next request: a key was just made or revoked here."""
        self._until = 0.0
