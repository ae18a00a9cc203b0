"""Push: predictions go to the tasks of a Label Studio that had none when they were asked for."""

from typing import Final

from api_schemas.problems import (
    DestinationRefused,
    InputProblem,
    NotFound,
    ProblemError,
    SourceProblem,
    StateConflict,
)
from domain import connections, integration_pushes, integrations
from domain.integration_pushes import Pushed
from domain.integrations import Profile
from domain.label_studio import LabelStudioServer
from domain.leases import ClaimedChunk
from domain.secrets import SecretKeeper
from formats.classes_json import OntologyFileClass
from formats.errors import InputRefused
from formats.label_studio_prediction import prediction
from formats.label_studio_tags import BrushTags
from storage.catalog.tables import IntegrationTaskRow, LabelRow
from storage.objects import ObjectMissing
from workers.committing import Draining, JobOver
from workers.run_chunk import JobHopeless
from workers.runtime import Runtime

BATCH_TASKS: Final = 20


def push_chunk(runtime: Runtime, claimed: ClaimedChunk) -> None:
    """Send what there is to every task that waits; those without a label have failed.

    Raises:
        LeaseLost, JobOver, Draining: stop working on this chunk.
        JobHopeless: the server cannot be reached, or the token is not taken.
    """
    integration_id = claimed.job.params["integration"]
    try:
        with runtime.catalog.read() as session:
            profile = integrations.open_profile(session, integration_id)
            connection = connections.get(session, profile.row.connection_id or "")
        secrets = SecretKeeper(runtime.settings).unseal(connections.secrets_of(connection))
        base_url, token = connection.config["base_url"], secrets["access_token"]
        server = LabelStudioServer(runtime.settings, base_url, token)
        _push_all(runtime, claimed, profile, server)
    except ProblemError as problem:
        raise JobHopeless(problem) from problem


def _push_all(
    runtime: Runtime, claimed: ClaimedChunk, profile: Profile, server: LabelStudioServer
) -> None:
    after = -1
    while True:
        with runtime.catalog.read() as session:
            tasks = integration_pushes.waiting(session, profile, after, BATCH_TASKS)
            digests = [task.image_digest for task in tasks if task.image_digest]
            labels = integrations.find_labels(session, profile, digests)
        done: list[Pushed] = []
        for task in tasks:
            runtime.progress.tick("working")
            label = labels.get(task.image_digest or "")
            done.append(_push(runtime, profile, server, task, label))
        ended = len(tasks) < BATCH_TASKS
        if not integration_pushes.commit(
            runtime.catalog,
            claimed.lease,
            done,
            lease_seconds=runtime.settings.lease_seconds,
            ended=ended,
        ):
            raise JobOver("push")
        if ended:
            return
        if runtime.draining.is_set():
            raise Draining
        after = tasks[-1].task_id


def _push(
    runtime: Runtime,
    profile: Profile,
    server: LabelStudioServer,
    task: IntegrationTaskRow,
    label: LabelRow | None,
) -> Pushed:
    """Send one prediction.

    Raises:
        SourceProblem: the server cannot be reached: no other task fares better.
    """
    try:
        if label is None:
            raise NotFound("The image has no label: the job that should make it says why.")
        body = {"task": task.task_id, **_prediction(runtime, profile, label)}
        server.add_prediction(body)
    except SourceProblem:
        raise
    except DestinationRefused as problem:
        return Pushed(task, None, problem.to_json())
    except ProblemError as problem:
        return Pushed(task, None, problem.to_json())
    return Pushed(task, profile.label_version, None)


def _prediction(runtime: Runtime, profile: Profile, label: LabelRow) -> dict[str, object]:
    classes = [
        OntologyFileClass(c["id"], c["name"], c["kind"], tuple(c["color"])) for c in profile.classes
    ]
    try:
        key = label.artifacts.get("confidence.png")
        return prediction(
            runtime.objects.get(label.artifacts["label.png"]),
            runtime.objects.get(key) if key else None,
            runtime.image_limits,
            classes,
            tags=BrushTags(),
            version=profile.label_version,
            quality=label.quality,
            label_id=label.id,
        )
    except ObjectMissing as error:
        raise StateConflict("The files of the label are gone.") from error
    except InputRefused as error:
        raise InputProblem(error.code, str(error)) from error
