"""Every setting of the service, read from the environment (`SELVAGE_…`), in one table.

`docs/settings.md` is generated from this class (`python -m domain.settings`), so the description
of a field is its documentation.
"""

import ipaddress
from base64 import urlsafe_b64decode
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from storage.remote.addresses import AddressPolicy
from storage.store_address import S3Options, StoreAddress


class Settings(BaseSettings):
    """Settings of one installation; all processes of it read the same."""

    model_config = SettingsConfigDict(
        env_prefix="SELVAGE_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Field(
        Path("selvage-data"),
        description="Folder of the embedded catalog, objects, broker and logs",
    )
    database_url: str | None = Field(
        None,
        description="Catalog: `sqlite:///…` or `postgresql+psycopg://…`; default data_dir's SQLite",
    )
    redis_url: SecretStr | None = Field(
        None, description="Queue: `redis://…`; default the embedded broker"
    )
    objects_url: str | None = Field(
        None, description="Objects: `file:///…` or `s3://bucket/prefix`; default data_dir/objects"
    )
    s3_endpoint: str | None = Field(
        None,
        pattern="^https?://[^/@?#]+/?$",
        description="`https://host` of an S3 service other than Amazon's; plain http only if it "
        "says http",
    )
    s3_public_endpoint: str | None = Field(
        None,
        pattern="^https?://[^/@?#]+/?$",
        description="The same service as clients reach it, for presigned links",
    )
    s3_links: bool = Field(
        True,
        description="Clients reach the S3 service: large files go by presigned links; false sends "
        "all through the API",
    )
    s3_region: str | None = Field(None, description="Default `AWS_REGION`, or else us-east-1")
    s3_access_key_id: str | None = Field(
        None, description="Default `AWS_ACCESS_KEY_ID`, or else the role of the machine"
    )
    s3_secret_access_key: SecretStr | None = Field(
        None, description="Default `AWS_SECRET_ACCESS_KEY`"
    )
    s3_session_token: SecretStr | None = Field(None, description="Of temporary credentials")
    s3_timeout_seconds: float = Field(
        10.0, gt=0, le=300, description="A small request to S3, and the longest silence in a large"
    )
    s3_retries: int = Field(
        3, ge=0, le=10, description="Repetitions of a request that met a 5xx or a lost connection"
    )
    presigned_seconds: int = Field(
        900, ge=1, le=7 * 24 * 3600, description="Life of a presigned link"
    )
    redirect_bytes: int = Field(
        8 * 2**20, ge=0, description="Files from this size on are answered with a presigned link"
    )
    min_free_bytes: int = Field(
        512 * 2**20,
        ge=0,
        description="Room that stays free on the disk of local objects; beyond it 507",
    )
    model_cache_dir: Path | None = Field(
        None, description="Local copies of model versions; default data_dir/model-cache"
    )
    model_cache_max_bytes: int = Field(
        20 * 2**30, ge=0, description="The least recently used versions go beyond this size"
    )
    prediction_cache_bytes: int = Field(
        256 * 2**20, ge=0, description="Memory in which a worker keeps predictions of a pilot"
    )

    host: str = Field(
        "127.0.0.1", description="Address of the API; any but loopback needs an API key to exist"
    )
    require_keys: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Ask for API keys; auto: unless on loopback with no key made yet; "
        "never: on loopback only",
    )
    port: int = Field(8700, ge=0, le=65535, description="Port of the API; 0 takes a free one")
    broker_port: int = Field(
        0, ge=0, le=65535, description="Port of the embedded broker; 0 takes a free one"
    )
    workers: int = Field(1, ge=0, le=64, description="Label workers that `selvage up` starts")
    light_workers: int = Field(
        1,
        ge=0,
        le=8,
        description="Workers for image sets from elsewhere that `selvage up` starts; no torch",
    )
    device: str = Field("auto", description="`cpu`, `cuda`, `cuda:0`; auto takes a GPU if it can")
    threads: int = Field(
        0, ge=0, description="Torch threads of a label worker; 0 shares the cores among workers"
    )
    training_workers: int = Field(
        1, ge=0, le=8, description="Training workers that `selvage up` starts; no torch"
    )
    training_gpus: int = Field(
        1, ge=1, le=64, description="GPUs on which one training of `selvage up` runs, if it can"
    )
    training_threads: int = Field(
        0, ge=0, description="Torch threads of a training; 0 takes every core"
    )
    training_module: str = Field(
        "models.adaptation",
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$",
        description="What trains: `python -m` this, with the folder of the run",
    )
    training_dir: Path | None = Field(
        None, description="Folder of trainings and of copies for them; default data_dir/training"
    )
    training_cache_max_bytes: int = Field(
        100 * 2**30, ge=0, description="Copies of images and labels for trainings, no larger"
    )
    training_silent_seconds: float = Field(
        900.0, gt=0, description="A training that reports nothing for so long is killed"
    )
    training_max_deaths: int = Field(
        3, ge=1, description="A training that died so often without a new checkpoint fails"
    )
    device_machine: str | None = Field(
        None,
        max_length=200,
        description="Name of the machine, where containers that share its devices have their own",
    )
    log_format: str = Field("console", pattern="^(console|json)$", description="console or json")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    max_upload_bytes: int = Field(
        8 * 2**30, ge=2**10, description="Largest request body that the API reads"
    )
    max_manifest_bytes: int = Field(
        256 * 2**20, ge=2**10, description="Largest list of files that an image set is read from"
    )
    max_json_bytes: int = Field(
        16 * 2**20, ge=2**10, description="Largest body that is not an upload of files"
    )
    body_idle_seconds: float = Field(
        60.0, gt=0, description="A request whose body stops coming for so long is answered 408"
    )
    max_files_per_request: int = Field(10_000, ge=1, description="Files in one multipart request")
    max_image_bytes: int = Field(100 * 2**20, ge=2**10, description="Largest image file")
    max_image_pixels: int = Field(64_000_000, ge=1, description="Largest image, width × height")
    max_archive_entries: int = Field(100_000, ge=1, description="Files in one zip")
    max_archive_bytes: int = Field(20 * 2**30, ge=2**10, description="Unpacked size of one zip")
    upload_max_bytes: int = Field(
        200 * 2**30, ge=1, description="Largest file of a resumable upload (`POST /v1/uploads`)"
    )
    upload_min_part_bytes: int = Field(
        5 * 2**20, ge=1, description="Smallest part of such an upload but the last; S3's own least"
    )
    upload_max_open: int = Field(
        100, ge=1, description="Resumable uploads that are not complete; beyond it 429"
    )
    upload_hours: float = Field(
        168.0,
        gt=0,
        description="A resumable upload is deleted so long after it was begun or completed",
    )
    max_model_bytes: int = Field(
        20 * 2**30, ge=2**10, description="All files of one uploaded model together"
    )
    max_queued_images: int = Field(
        2_000_000, ge=1, description="Unfinished images of all jobs; beyond it 429"
    )

    quota_jobs: int | None = Field(
        None, ge=0, description="Unfinished jobs of one API key that has no quota of its own"
    )
    quota_queued_images: int | None = Field(
        None, ge=0, description="The same: unfinished images of its jobs"
    )
    quota_stored_bytes_per_day: int | None = Field(
        None, ge=0, description="The same: bytes uploaded on one day (UTC)"
    )
    quota_device_seconds_per_day: float | None = Field(
        None, ge=0, description="The same: seconds of work by all workers on one day (UTC)"
    )

    secret_key: SecretStr | None = Field(
        None,
        description="Fernet keys, by comma, that encrypt stored credentials: the first encrypts, "
        "all decrypt; default the file secret.key in data_dir",
    )
    fetch_allow_networks: str = Field(
        "",
        description="Networks and host names, by comma, that are fetched from besides the open "
        "internet: `10.1.0.0/16,minio.internal`",
    )
    fetch_seconds: float = Field(
        120.0, gt=0, description="Time for one file from elsewhere, and more while bytes flow"
    )
    fetch_idle_seconds: float = Field(
        15.0, gt=0, description="Longest silence of a server that a file is fetched from"
    )
    webhook_allow_networks: str = Field(
        "",
        description="The same for the addresses of webhooks: networks and host names that "
        "messages go to besides the open internet",
    )
    webhook_seconds: float = Field(
        10.0, gt=0, le=60, description="Time in which the address of a webhook has to answer"
    )

    lease_seconds: float = Field(60.0, gt=0, description="A chunk without heartbeat is taken back")
    heartbeat_seconds: float = Field(10.0, gt=0, description="Between two heartbeats of a worker")
    sweep_seconds: float = Field(10.0, gt=0, description="Between two looks for lost work")
    resend_seconds: float = Field(
        90.0, gt=0, description="A chunk that no worker claimed is sent again after this time"
    )
    poll_seconds: float = Field(
        0.25, gt=0, description="Longest sleep of the dispatcher when no wake-up message comes"
    )
    chunk_seconds: float = Field(20.0, gt=0, description="Work that one queue message aims at")
    chunk_max_images: int = Field(64, ge=1, le=500, description="Images in one queue message")
    chunks_per_worker: int = Field(2, ge=1, description="Queue messages in flight per live worker")
    max_item_seconds: float = Field(
        300.0, gt=0, description="A worker without progress for so long is killed"
    )
    max_model_load_seconds: float = Field(
        900.0, gt=0, description="The same while a model is being loaded"
    )
    max_worker_kills: int = Field(
        3, ge=1, description="An image that killed its worker so often is set aside"
    )
    shutdown_seconds: float = Field(
        20.0, gt=0, description="Time that a process gets to stop before it is killed"
    )
    stream_poll_seconds: float = Field(
        0.25, gt=0, description="Between two looks of an API process at the jobs that are streamed"
    )
    stream_keep_alive_seconds: float = Field(
        15.0, gt=0, description="A stream of events without news says that it is alive"
    )
    stream_max_seconds: float = Field(
        3600.0, gt=0, description="A stream ends after this time; clients go on with the next"
    )
    stream_send_seconds: float = Field(
        30.0, gt=0, description="A client that takes nothing from its stream for so long is dropped"
    )
    max_streams: int = Field(
        1000, ge=0, description="Streams of events and waits of one API process; beyond it 429"
    )
    event_days: float = Field(7.0, gt=0, description="Events of jobs are kept for their streams")
    worker_metrics_host: str = Field(
        "127.0.0.1", description="Address on which workers serve their metrics"
    )
    worker_metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of worker 0 for Prometheus, 1 has the next; 0 is off",
    )

    idempotency_hours: float = Field(24.0, gt=0, description="Answers are kept for their key")
    keep_evidence_days: float = Field(
        7.0, ge=0, description="What the stages of a finished job have left for a retry is kept"
    )
    keep_job_days: float | None = Field(
        None, gt=0, description="Finished jobs are deleted so long after their end; default never"
    )
    keep_label_days: float | None = Field(
        None, gt=0, description="Labels that no job of this time shows are deleted; default never"
    )
    keep_image_set_days: float | None = Field(
        None, gt=0, description="Image sets without jobs are deleted at this age; default never"
    )
    keep_export_days: float = Field(
        7.0, gt=0, description="The file of a finished export can be downloaded for so long"
    )
    keep_deleted_days: float = Field(
        7.0, ge=0, description="What was deleted is answered with 410 for so long, then with 404"
    )
    keep_tick_days: float = Field(90.0, gt=0, description="Past ticks of schedules are kept")
    keep_delivery_days: float = Field(14.0, gt=0, description="The log of sent webhooks is kept")
    receiving_hours: float = Field(
        24.0, gt=0, description="An image set that got no file for so long was cut off, and goes"
    )
    housekeeping_seconds: float = Field(
        10.0, ge=0, description="Between two slices of retention and collection; 0 is off"
    )
    collect_hours: float = Field(
        6.0, gt=0, description="Between two looks through the whole store for litter"
    )
    collect_grace_hours: float = Field(
        24.0,
        ge=1,
        description="Objects that nothing refers to are deleted so long after they were found; "
        "longer than any upload or chunk of work takes",
    )

    @field_validator("secret_key")
    @classmethod
    def _are_fernet_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not all(map(is_fernet_key, value.get_secret_value().split(","))):
            raise ValueError("not Fernet keys, by comma; `selvage secrets new-key` prints one")
        return value

    @field_validator("fetch_allow_networks", "webhook_allow_networks")
    @classmethod
    def _is_allow_list(cls, value: str) -> str:
        AddressPolicy.parse(value)
        return value

    @cached_property
    def catalog_url(self) -> str:
        """SQLAlchemy address of the catalog."""
        if self.database_url:
            return self.database_url
        return f"sqlite:///{self.data_dir.absolute() / 'catalog.sqlite3'}"

    @cached_property
    def store_url(self) -> str:
        """Address of the object store."""
        return self.objects_url or (self.data_dir.absolute() / "objects").as_uri()

    @cached_property
    def store_address(self) -> StoreAddress:
        """The object store, with the keys to it."""
        return StoreAddress(
            url=self.store_url,
            min_free_bytes=self.min_free_bytes,
            s3=S3Options(
                endpoint=self.s3_endpoint,
                public_endpoint=self.s3_public_endpoint,
                has_links=self.s3_links,
                region=self.s3_region,
                access_key_id=self.s3_access_key_id,
                secret_access_key=self.s3_secret_access_key,
                session_token=self.s3_session_token,
                timeout_seconds=self.s3_timeout_seconds,
                retries=self.s3_retries,
            ),
        )

    @cached_property
    def broker_url(self) -> str:
        """Address of the queue. The embedded broker's is handed down by `selvage up`.

        Raises:
            RuntimeError: nothing says where the queue is.
        """
        if self.redis_url is None:
            raise RuntimeError(
                "SELVAGE_REDIS_URL is not set. `selvage up` starts an embedded broker and sets it."
            )
        return self.redis_url.get_secret_value()

    @cached_property
    def cache_dir(self) -> Path:
        """Folder for local copies of model versions."""
        return (self.model_cache_dir or self.data_dir / "model-cache").absolute()

    @cached_property
    def trainings_dir(self) -> Path:
        """Folder of the runs and of what they read."""
        return (self.training_dir or self.data_dir / "training").absolute()

    @property
    def is_loopback(self) -> bool:
        """Whether the API's address can be reached from this machine alone."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def is_fernet_key(text: str) -> bool:
    """Whether `text` is 32 bytes in URL-safe base64."""
    try:
        return len(urlsafe_b64decode(text.strip().encode("ascii"))) == 32
    except ValueError:
        return False


def settings_table() -> str:
    """Return the table of all settings as Markdown."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        description = (field.description or "").replace("|", "\\|")
        lines.append(f"| `SELVAGE_{name.upper()}` | {default} | {description} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(settings_table(), end="")
