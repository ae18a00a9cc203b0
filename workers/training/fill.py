"""A run folder, filled with model, data and specification."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from domain.training_data import Sample, source_samples, target_samples
from storage.catalog.tables import JobRow, ModelVersionRow
from workers.training.data import DataWriter, write_model
from workers.training.run_folder import RunFolder, read_document, write_document
from workers.training.runtime import TrainingRuntime

SPEC_VERSION: Final = 1
_COUNTS_FILE: Final = "counts.json"


def fill_run(
    runtime: TrainingRuntime,
    job: JobRow,
    parent: ModelVersionRow,
    run: RunFolder,
    tick: Callable[[int], None],
) -> dict[str, Any]:
    """Fill a run folder with all but the specification, unless that was done before.

    Returns:
        How many images there are: `source`, `target`, and `left_out` of both.

    Raises:
        ModelDamaged: the model's files are gone or not those that were registered.
        DataTooLarge, StorageUnavailable, OSError: as `DataWriter.write`.
    """
    done = read_document(run.path / _COUNTS_FILE)
    if done is not None:
        return done
    write_model(runtime.models.folder_of(parent), run)
    writer = DataWriter(
        runtime.files,
        runtime.image_limits,
        num_classes=len(parent.ontology["classes"]),
        max_bytes=runtime.settings.training_cache_max_bytes,
        tick=tick,
    )
    target = writer.write(
        run.path / "target", target_samples(runtime.catalog, job.params["label_set"])
    )
    source = writer.write(run.path / "source", _source(runtime, job)) if _has_source(job) else None
    counts = {
        "source": source.used if source else 0,
        "target": target.used,
        "left_out": target.left_out + (source.left_out if source else 0),
    }
    write_document(run.path / _COUNTS_FILE, counts)
    return counts


def _has_source(job: JobRow) -> bool:
    return job.params["source_annotations"] is not None


def _source(runtime: TrainingRuntime, job: JobRow) -> Iterator[Sample]:
    return source_samples(runtime.catalog, job.params["source_annotations"])


def write_spec(run: RunFolder, params: dict[str, Any], threads: int) -> None:
    """Write what the process is to do."""
    write_document(
        run.spec,
        {
            "version": SPEC_VERSION,
            "setting": params["setting"],
            "seed": params["seed"],
            "steps": params["steps"],
            "threads": threads,
            "recipe": params["recipe"],
        },
    )
