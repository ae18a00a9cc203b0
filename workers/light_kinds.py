"""What a light worker can do: one handler for each kind of chunk of its queue. No torch."""

from typing import Final

from workers.export import export_chunk
from workers.import_labels import import_chunk
from workers.ingest import ingest_chunk
from workers.push_predictions import push_chunk
from workers.run_chunk import Handlers
from workers.runtime import Runtime

LIGHT_HANDLERS: Final[Handlers[Runtime]] = {
    "ingest": ingest_chunk,
    "export": export_chunk,
    "import": import_chunk,
    "push": push_chunk,
}
