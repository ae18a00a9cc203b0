"""A real S3 service over HTTP for the tests: moto's server in a process of its own."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
from pydantic import SecretStr

from ops.ports import find_free
from storage.store_address import S3Options, StoreAddress

ACCESS_KEY_ID = "test-access-key"
SECRET_ACCESS_KEY = "test-secret-access-key"
START_SECONDS = 60.0


@dataclass
class S3Server:
    """A running server; every test takes a bucket of its own."""

    url: str
    last_bucket: str = ""
    _numbers: Iterator[int] = field(default_factory=count)

    def new_bucket(self) -> str:
        """Create a bucket and return its name."""
        name = f"bucket-{next(self._numbers)}"
        httpx.put(f"{self.url}/{name}").raise_for_status()
        self.last_bucket = name
        return name

    def settings(self, bucket: str, **changes: Any) -> dict[str, Any]:
        """Settings of an installation whose objects are in a bucket."""
        return {
            "objects_url": f"s3://{bucket}/pre/fix",
            "s3_endpoint": self.url,
            "s3_region": "eu-west-1",
            "s3_access_key_id": ACCESS_KEY_ID,
            "s3_secret_access_key": SECRET_ACCESS_KEY,
            **changes,
        }

    def address(self, bucket: str, **changes: Any) -> StoreAddress:
        """The same for the store alone."""
        options: dict[str, Any] = {
            "endpoint": self.url,
            "region": "eu-west-1",
            "access_key_id": ACCESS_KEY_ID,
            "secret_access_key": SecretStr(SECRET_ACCESS_KEY),
            **changes,
        }
        return StoreAddress(f"s3://{bucket}/pre/fix", S3Options(**options))


@contextmanager
def start_s3() -> Iterator[S3Server]:
    """Start a server on a free port.

    Raises:
        RuntimeError: it did not answer in time.
    """
    port = find_free("127.0.0.1")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process)
        yield S3Server(url)
    finally:
        process.kill()  # it keeps everything in memory; nothing needs an orderly end
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url, timeout=5)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the S3 server of the tests did not start")
