"""Where the object store is and how to get in; read without loading the store's library."""

from dataclasses import dataclass, field

from pydantic import SecretStr


@dataclass(frozen=True)
class S3Options:
    """How to reach an S3 service; what is None comes from the `AWS_…` variables.

    Attributes:
        endpoint: `https://host` or `http://host:port`; None means Amazon's own. Plain http is
            spoken only where this says http.
        public_endpoint: the same service as clients reach it; presigned links point there.
        has_links: clients reach the service by themselves; otherwise all bytes go through the API.
        region: of the bucket.
        timeout_seconds: a request without a large body, and the longest silence within one.
        retries: repetitions of a request that met a 5xx or a lost connection.
    """

    endpoint: str | None = None
    public_endpoint: str | None = None
    has_links: bool = True
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    timeout_seconds: float = 10.0
    retries: int = 3


@dataclass(frozen=True)
class StoreAddress:
    """`file:///folder`, `memory://` or `s3://bucket/prefix`, with what belongs to it.

    Attributes:
        min_free_bytes: a local store refuses to write when its disk would have less left.
    """

    url: str
    s3: S3Options = field(default_factory=S3Options)
    min_free_bytes: int = 0
