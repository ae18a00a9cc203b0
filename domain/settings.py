"""Every setting of the service, read from the environment (`SELVAGE_…`), in one table.

`docs/settings.md` is generated from this class (`python -m domain.settings`), so the description
of a field is its documentation.
"""

import ipaddress
from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of one installation; all processes of it read the same."""

    model_config = SettingsConfigDict(env_prefix="SELVAGE_", extra="ignore", frozen=True)

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
    model_cache_dir: Path | None = Field(
        None, description="Local copies of model versions; default data_dir/model-cache"
    )
    model_cache_max_bytes: int = Field(
        20 * 2**30, ge=0, description="The least recently used versions go beyond this size"
    )
    prediction_cache_bytes: int = Field(
        256 * 2**20, ge=0, description="Memory in which a worker keeps predictions of a pilot"
    )

    host: str = Field("127.0.0.1", description="Address of the API; only loopback until keys exist")
    port: int = Field(8700, ge=0, le=65535, description="Port of the API; 0 takes a free one")
    broker_port: int = Field(
        0, ge=0, le=65535, description="Port of the embedded broker; 0 takes a free one"
    )
    workers: int = Field(1, ge=0, le=64, description="Label workers that `selvage up` starts")
    device: str = Field("auto", description="`cpu`, `cuda`, `cuda:0`; auto takes a GPU if it can")
    threads: int = Field(
        0, ge=0, description="Torch threads of a label worker; 0 shares the cores among workers"
    )
    log_format: str = Field("console", pattern="^(console|json)$", description="console or json")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    max_upload_bytes: int = Field(
        8 * 2**30, ge=2**10, description="Largest request body that the API reads"
    )
    max_files_per_request: int = Field(10_000, ge=1, description="Files in one multipart request")
    max_image_bytes: int = Field(100 * 2**20, ge=2**10, description="Largest image file")
    max_image_pixels: int = Field(64_000_000, ge=1, description="Largest image, width × height")
    max_archive_entries: int = Field(100_000, ge=1, description="Files in one zip")
    max_archive_bytes: int = Field(20 * 2**30, ge=2**10, description="Unpacked size of one zip")
    max_queued_images: int = Field(
        2_000_000, ge=1, description="Unfinished images of all jobs; beyond it 429"
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
    idempotency_hours: float = Field(24.0, gt=0, description="Answers are kept for their key")

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

    @property
    def is_loopback(self) -> bool:
        """Whether the API's address can be reached from this machine alone."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
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
