"""A real Label Studio, in an environment of its own: `make venv-label-studio`."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from ops.ports import find_free

REPOSITORY: Final = Path(__file__).parents[2]
PROGRAM: Final = Path(
    os.environ.get(
        "SELVAGE_LABEL_STUDIO", REPOSITORY / ".venv-label-studio" / "bin" / "label-studio"
    )
)
needs_label_studio = pytest.mark.skipif(
    not PROGRAM.exists(), reason="Label Studio is not installed: make venv-label-studio"
)
TOKEN: Final = "0123456789abcdef0123456789abcdef01234567"
# It makes its database first, by more than a hundred migrations.
START_SECONDS: Final = 400


@dataclass(frozen=True)
class LabelStudio:
    """A running server and the token of its only user."""

    url: str
    token: str

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Return the document that an endpoint answers with."""
        headers = {"Authorization": f"Token {self.token}"}
        answer = httpx.request(
            method, self.url + path, headers=headers, timeout=60, trust_env=False, **options
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json() if answer.content else None


@contextmanager
def start_label_studio(folder: Path) -> Iterator[LabelStudio]:
    """Run the server on an empty folder until the block ends."""
    port = find_free("127.0.0.1")
    environment = {
        **os.environ,
        "HOME": str(folder),
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "USE_DEFAULT_BANNED_SUBNETS": "false",  # our service is on the loopback address
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
    }
    for name in ("PYTHONPATH", "DJANGO_SETTINGS_MODULE"):
        environment.pop(name, None)
    user = ["--username", "one@example.org", "--password", "a password", "--user-token", TOKEN]
    log_path = folder / "label-studio.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port),
             "--data-dir", folder / "data", *user],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", log_path)
        yield LabelStudio(f"http://127.0.0.1:{port}", TOKEN)
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log_path: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log_path.read_text()[-3000:]
        try:
            if httpx.get(address, timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"Label Studio does not start:\n{log_path.read_text()[-3000:]}")
