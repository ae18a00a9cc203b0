"""The API process: `python -m service`."""

import contextlib
import sys

from domain.logs import set_up_logs
from domain.settings import Settings
from service.app import create_app
from service.server import Server


def main() -> None:
    """Serve until told to stop; refuses any address but loopback while there are no keys."""
    settings = Settings()
    set_up_logs(settings)
    if not settings.is_loopback:
        sys.exit(
            f"SELVAGE_HOST={settings.host} can be reached from other machines, and this version "
            "has no API keys. Use 127.0.0.1 and put an authenticating proxy in front."
        )
    server = Server(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=int(settings.shutdown_seconds * 0.7),
    )
    with contextlib.suppress(KeyboardInterrupt):  # raised again after an orderly stop
        server.run()
    if not server.started:
        sys.exit("The API could not be started; the log says why.")


if __name__ == "__main__":
    main()
