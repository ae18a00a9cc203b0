"""Asking a running API whether it is ready."""

import http.client
import urllib.error
import urllib.request


def is_ready(url: str, timeout_seconds: float = 1.0) -> bool:
    """Return whether the API at `url` answers 200 to `/readyz` within the time."""
    # An opener without proxies: the address is on this machine, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/readyz", timeout=timeout_seconds) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False
