"""How files from elsewhere are fetched here, by the settings."""

from domain.settings import Settings
from storage.remote.addresses import AddressPolicy
from storage.remote.fetching import Fetcher, FetchLimits


def open_fetcher(settings: Settings) -> Fetcher:
    """Return a fetcher with this installation's policy.

    Raises:
        BadAllowList: SELVAGE_FETCH_ALLOW_NETWORKS is not valid.
    """
    return Fetcher(AddressPolicy.parse(settings.fetch_allow_networks))


def fetch_limits(settings: Settings, max_bytes: int) -> FetchLimits:
    """Return the limits of one file."""
    return FetchLimits(max_bytes, settings.fetch_seconds, settings.fetch_idle_seconds)
