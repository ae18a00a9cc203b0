"""The manifests are valid for the cluster, and name modules, keys and images that exist."""

import importlib.util
from typing import Any

import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]

from domain.settings import Settings
from tests.ops.processes import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "kubernetes"
LISTED = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
DOCUMENTS: list[dict[str, Any]] = [
    document for name in LISTED for document in yaml.safe_load_all((FOLDER / name).read_text())
]
PODS = {
    document["metadata"]["name"]: document["spec"]["template"]["spec"]
    for document in DOCUMENTS
    if document["kind"] in ("Deployment", "Job")
}


def test_every_file_is_listed() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(LISTED) == files


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda d: f"{d['kind']}-{d['metadata']['name']}"
)
def test_the_schema_of_kubernetes(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.31", strict=True)


def test_the_validator_finds_a_wrong_field() -> None:
    broken = {**DOCUMENTS[0], "specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.31", strict=True)


def test_one_deployment_for_each_role() -> None:
    assert set(PODS) == {
        "api",
        "scheduler",
        "light-worker",
        "label-worker-cpu",
        "label-worker-gpu",
        "training-worker-cpu",
        "training-worker-gpu",
        "migrations",
    }


@pytest.mark.parametrize("name", PODS)
def test_a_pod_runs_a_module_without_root(name: str) -> None:
    pod = PODS[name]
    (container,) = pod["containers"]
    module = container["command"][container["command"].index("-m") + 1]
    assert importlib.util.find_spec(module) is not None
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert ("worker:" in container["image"]) == name.startswith(("label-worker", "training-worker"))


def test_the_configuration_names_settings() -> None:
    (configuration,) = [d["data"] for d in DOCUMENTS if d["kind"] == "ConfigMap"]
    known = {f"SELVAGE_{name.upper()}" for name in Settings.model_fields}
    assert set(configuration) <= known


def test_no_secret_is_in_the_manifests() -> None:
    assert not [d for d in DOCUMENTS if d["kind"] == "Secret"]
