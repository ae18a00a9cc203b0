"""How files from elsewhere are fetched here, by the settings."""

from domain.settings import Settings
from storage.remote.addresses import AddressPolicy
from storage.remote.fetching import Fetcher, FetchLimits
from storage.remote.sending import Sender


def open_fetcher(settings: Settings) -> Fetcher:
    """Return a fetcher with this installation's policy.

    Raises:
        BadAllowList: SELVAGE_FETCH_ALLOW_NETWORKS is not valid.
    """
    return Fetcher(AddressPolicy.parse(settings.fetch_allow_networks))


def open_sender(settings: Settings) -> Sender:
    """Return what sends files, with the same policy.

    Raises:
        BadAllowList: SELVAGE_FETCH_ALLOW_NETWORKS is not valid.
    """
    return Sender(
        AddressPolicy.parse(settings.fetch_allow_networks),
        total_seconds=settings.fetch_seconds,
        idle_seconds=settings.fetch_idle_seconds,
    )


def fetch_limits(settings: Settings, max_bytes: int) -> FetchLimits:
    """Return the limits of one file."""
    return FetchLimits(max_bytes, settings.fetch_seconds, settings.fetch_idle_seconds)
