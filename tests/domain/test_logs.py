"""Logs: one JSON object a line, named by what is bound, and nothing secret in it."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import structlog

from domain.log_redaction import REDACTED, clean, clean_text, redact
from domain.logs import in_this_context

ROOT = Path(__file__).parents[2]
KEY = "sv_0123456789abcdefghijABCDEFGHIJ"
SECRETS = (
    f"Authorization: Bearer {KEY}",
    f"key {KEY} was used",
    "Basic dXNlcjpwYXNzd29yZA==",
    "redis://:hunter2@redis:6379/0",
    "postgresql+psycopg://selvage:hunter2@db/selvage",
    "https://bucket/x?X-Amz-Signature=abcdef&X-Amz-Credential=AKIA/123 failed",
    "https://host/file?token=hunter2&page=3",
)
PARTS = (KEY[3:], "hunter2", "dXNlcjpwYXNzd29yZA", "abcdef", "AKIA")


class TestRedaction:
    @pytest.mark.parametrize("text", SECRETS)
    def test_in_text(self, text: str) -> None:
        cleaned = clean_text(text)
        assert REDACTED in cleaned
        assert not any(part in cleaned for part in PARTS)

    @pytest.mark.parametrize(
        "text",
        [
            "chunk chk_01J done", "GET /v1/jobs/job_01J", "basic training", "a bearer of news",
            "https://host/path?page=2", "sv_short", "user@example.org", "12:30 a@b",
        ],
    )  # fmt: skip
    def test_what_is_no_secret_stays(self, text: str) -> None:
        assert clean_text(text) == text

    @pytest.mark.parametrize(
        "name", ["authorization", "Authorization", "s3_secret_access_key", "password", "api_key"]
    )
    def test_by_name(self, name: str) -> None:
        assert clean(name, "anything") == REDACTED
        assert clean("headers", {name: "anything", "n": 1}) == {name: REDACTED, "n": 1}
        assert clean("pairs", [{name: "anything"}]) == [{name: REDACTED}]

    def test_names_that_only_look_like_it(self) -> None:
        assert clean("api_key_id", "key_01J") == "key_01J"
        assert clean("token", None) is None
        assert clean("secret", True) is True

    def test_a_line_is_cleaned_as_a_whole(self) -> None:
        event = {"event": f"with {KEY}", "exception": SECRETS[3], "n": 3}
        assert KEY not in json.dumps(redact(None, "info", dict(event)))


def run(script: str, **variables: str) -> list[dict[str, Any]]:
    """Run a script with our logs; every line that it writes must be a JSON object."""
    start = (
        "import logging, structlog\n"
        "from domain.settings import Settings\n"
        "from domain.logs import set_up_logs\n"
        "set_up_logs(Settings(log_format='json'))\n"
        "log = structlog.get_logger('x')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", start + script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


class TestLines:
    def test_bound_names_stand_in_every_line(self) -> None:
        lines = run(
            "with structlog.contextvars.bound_contextvars(job='job_1', request_id='req_1'):\n"
            "    log.info('ours', n=1)\n"
            "    logging.getLogger('celery').warning('theirs %s', 2)\n"
            "log.info('outside')\n"
        )
        assert [line["event"] for line in lines] == ["ours", "theirs 2", "outside"]
        assert [line.get("job") for line in lines] == ["job_1", "job_1", None]
        assert [line.get("request_id") for line in lines] == ["req_1", "req_1", None]
        assert [line["level"] for line in lines] == ["info", "warning", "info"]
        assert all(line["timestamp"].endswith("Z") for line in lines)

    def test_exceptions_are_one_line_and_clean(self) -> None:
        lines = run(
            f"for write in (log.error, logging.getLogger('other').error):\n"
            f"    try: raise ValueError('redis://:hunter2@host with {KEY}')\n"
            f"    except ValueError as error: write('it failed', exc_info=error)\n"
        )
        assert len(lines) == 2
        for line in lines:
            assert "ValueError" in line["exception"]
            assert "Traceback" in line["exception"]
            assert KEY not in json.dumps(line)
            assert "hunter2" not in json.dumps(line)

    def test_nobody_writes_a_line_of_his_own(self) -> None:
        (line,) = run("log.info('x', path='/a\\n{\"event\": \"forged\"}\\r\\x1b[31m')\n")
        assert line["path"].startswith("/a\n{")

    def test_console_lines_stay_one_line(self) -> None:
        script = (
            "from domain.settings import Settings; from domain.logs import set_up_logs\n"
            "import structlog; set_up_logs(Settings(log_format='console'))\n"
            "structlog.get_logger().info('x', path='a\\nforged', authorization='Bearer abcdefgh')"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert len(done.stderr.splitlines()) == 1
        assert "abcdefgh" not in done.stderr


def test_names_go_into_other_threads() -> None:
    found: list[dict[str, Any]] = []
    with structlog.contextvars.bound_contextvars(job="job_1"):
        look = in_this_context(lambda: found.append(structlog.contextvars.get_contextvars()))
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found[0]["job"] == "job_1"
