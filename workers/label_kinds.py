"""What a label worker can do: one handler for each kind of chunk of its queue."""

from collections.abc import Callable
from typing import Final

from api_schemas.problems import ProblemError
from domain.leases import ClaimedChunk
from models.errors import ModelRefused
from workers.adapt import adapt_chunk
from workers.evaluate import evaluate_chunk
from workers.finish import finish_chunk
from workers.fit import fit_chunk
from workers.fit_connectivity import fit_connectivity_chunk
from workers.fit_rectifier import fit_rectifier_chunk
from workers.label import label_chunk
from workers.label_runtime import LabelRuntime
from workers.model_files import ModelDamaged
from workers.pilot import pilot_chunk
from workers.run_chunk import Handlers, JobHopeless
from workers.validate import validate_chunk

Handler = Callable[[LabelRuntime, ClaimedChunk], None]


class ModelUnusable(ProblemError):
    code, title, status = "model-unusable", "The model cannot be loaded", 500


def _needing_model(handler: Handler) -> Handler:
    """Return `handler`, whose job ends when the model cannot be loaded."""

    def handle(runtime: LabelRuntime, claimed: ClaimedChunk) -> None:
        try:
            handler(runtime, claimed)
        except (ModelRefused, ModelDamaged) as error:
            raise JobHopeless(ModelUnusable(str(error))) from error

    return handle


LABEL_HANDLERS: Final[Handlers[LabelRuntime]] = {
    "pilot": _needing_model(pilot_chunk),
    "label": _needing_model(label_chunk),
    "fit": _needing_model(fit_chunk),
    "finish": _needing_model(finish_chunk),
    "evaluate": _needing_model(evaluate_chunk),
    "adapt": _needing_model(adapt_chunk),
    "fit_connectivity": _needing_model(fit_connectivity_chunk),
    "fit_rectifier": _needing_model(fit_rectifier_chunk),
    "validate": validate_chunk,
}
