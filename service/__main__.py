"""The API process: `python -m service`."""

import contextlib
import sys

from sqlalchemy.exc import OperationalError

from domain import tracing
from domain.api_keys import KeysNeeded, refuse_open_service
from domain.logs import set_up_logs
from domain.settings import Settings
from service.app import create_app
from service.server import Server
from storage.catalog.engine import Catalog
from storage.catalog.migrations import SchemaMismatch, require_current


def main() -> None:
    """Serve until told to stop; refuses any address but loopback while there is no key."""
    settings = Settings()
    set_up_logs(settings)
    tracing.set_up("api")
    _refuse_open_service(settings)
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


def _refuse_open_service(settings: Settings) -> None:
    catalog = Catalog(settings.catalog_url)
    try:
        require_current(catalog.engine)
        refuse_open_service(settings, catalog)
    except (KeysNeeded, SchemaMismatch) as error:
        sys.exit(str(error))
    except OperationalError as error:
        sys.exit(f"The catalog cannot be reached: {error.orig}")
    finally:
        catalog.close()


if __name__ == "__main__":
    main()
