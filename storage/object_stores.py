"""Opening stores: which library object, with which timeouts and credentials."""

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store
from pydantic import SecretStr

from storage.s3_multipart import S3Location, S3Multipart
from storage.s3_signing import Credentials
from storage.store_address import S3Options, StoreAddress

DEFAULT_REGION: Final = "us-east-1"
CONNECT_SECONDS: Final = 3.0
PROBE_SECONDS: Final = 3.0
# A body of any size may take its time, as long as it keeps coming.
BULK_SECONDS: Final = 3600.0


@dataclass(frozen=True)
class OpenedStore:
    """One store, as several clients of it.

    Attributes:
        quick: for requests with small bodies; answers or fails within the timeout.
        bulk: for bodies of any size; fails when nothing comes for as long as the timeout.
        probe: for health checks; fails fast and does not try again.
        folder: of a local store.
        location: of an S3 store whose addresses can be signed here.
        links: of an S3 store that clients reach; signs with whatever credentials there are.
    """

    quick: ObjectStore
    bulk: ObjectStore
    probe: ObjectStore
    folder: Path | None = None
    location: S3Location | None = None
    links: S3Store | None = None

    @property
    def multipart(self) -> S3Multipart | None:
        """Multipart uploads on S3, whoever sends the parts."""
        return S3Multipart(self.location) if self.location else None


def open_store(address: StoreAddress) -> OpenedStore:
    """Open the store of an installation.

    Raises:
        ValueError: the address is not one that is understood.
    """
    parts = urlsplit(address.url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        local = LocalStore(folder, mkdir=True)
        return OpenedStore(local, local, local, folder=folder)
    if parts.scheme == "memory":
        memory = MemoryStore()
        return OpenedStore(memory, memory, memory)
    if parts.scheme == "s3" and parts.netloc:
        return _open_s3_store(parts.netloc, parts.path.strip("/"), address.s3)
    raise ValueError(
        "SELVAGE_OBJECTS_URL must be file:///folder or s3://bucket/prefix; "
        f"'{parts.scheme}' is not known."
    )


def open_s3(
    bucket: str,
    prefix: str,
    options: S3Options,
    *,
    endpoint: str | None = None,
    silence_seconds: float | None = None,
    total_seconds: float | None = None,
    retries: int | None = None,
) -> S3Store:
    """Open a bucket with bounded waiting.

    Args:
        endpoint: instead of that of the options.
        silence_seconds: longest wait for the next bytes; default that of the options.
        total_seconds: longest duration of a request; default that of the options.
        retries: default those of the options.
    """
    endpoint = endpoint or options.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3")
    config: dict[str, str | bool] = {"region": _region(options)}
    if endpoint:
        config |= {"endpoint": endpoint.rstrip("/"), "virtual_hosted_style_request": False}
    if options.access_key_id and options.secret_access_key:
        config["access_key_id"] = options.access_key_id
        config["secret_access_key"] = options.secret_access_key.get_secret_value()
        if options.session_token:
            config["session_token"] = options.session_token.get_secret_value()
    timeout_seconds = options.timeout_seconds
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,  # type: ignore[arg-type]  # a TypedDict there; built up piece by piece here
        client_options={
            "allow_http": bool(endpoint and endpoint.startswith("http://")),
            "connect_timeout": timedelta(seconds=min(CONNECT_SECONDS, timeout_seconds)),
            "read_timeout": timedelta(seconds=silence_seconds or timeout_seconds),
            "timeout": timedelta(seconds=total_seconds or timeout_seconds),
        },
        retry_config={
            "max_retries": options.retries if retries is None else retries,
            "retry_timeout": timedelta(seconds=timeout_seconds),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=2),
                "base": 2,
            },
        },
    )


def _open_s3_store(bucket: str, prefix: str, options: S3Options) -> OpenedStore:
    probe_seconds = min(PROBE_SECONDS, options.timeout_seconds)
    credentials = static_credentials(options)
    location = None
    if credentials is not None:
        location = S3Location(
            bucket=bucket,
            prefix=prefix,
            region=_region(options),
            endpoint=options.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3"),
            public_endpoint=options.public_endpoint,
            credentials=credentials,
            timeout_seconds=options.timeout_seconds,
        )
    return OpenedStore(
        quick=open_s3(bucket, prefix, options),
        bulk=open_s3(bucket, prefix, options, total_seconds=BULK_SECONDS),
        probe=open_s3(
            bucket,
            prefix,
            options,
            silence_seconds=probe_seconds,
            total_seconds=probe_seconds,
            retries=0,
        ),
        location=location,
        links=open_s3(bucket, prefix, options, endpoint=options.public_endpoint)
        if options.has_links
        else None,
    )


def static_credentials(options: S3Options) -> Credentials | None:
    """Return the key pair of the options, or else of the environment; None for a role's."""
    if options.access_key_id and options.secret_access_key:
        return Credentials(options.access_key_id, options.secret_access_key, options.session_token)
    key_id = os.environ.get("AWS_ACCESS_KEY_ID")
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY")
    token = os.environ.get("AWS_SESSION_TOKEN")
    if key_id and secret:
        return Credentials(key_id, SecretStr(secret), SecretStr(token) if token else None)
    return None


def _region(options: S3Options) -> str:
    return (
        options.region
        or os.environ.get("AWS_REGION")
        or os.environ.get("AWS_DEFAULT_REGION")
        or DEFAULT_REGION
    )
