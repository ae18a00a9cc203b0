"""The container files name what exists: modules, targets, packages; and give no password away."""

import importlib.util
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from domain.settings import Settings
from tests.ops.processes import REPOSITORY

COMPOSE_TEXT = (REPOSITORY / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE_TEXT)["services"]
OURS = {name: it for name, it in SERVICES.items() if it["image"].startswith("selvage-")}
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def locked(file: str) -> set[str]:
    return set(re.findall(r"^([^=\n]+)==", (REPOSITORY / file).read_text(), re.M))


LEFT_OUT = sorted(locked("requirements.lock") - locked("requirements-slim.lock"))


def module_of(command: list[str]) -> str:
    return command[command.index("-m") + 1]


def test_all_parts_are_there():
    assert set(OURS) == {
        "migrations",
        "api",
        "scheduler",
        "light-worker",
        "label-worker-cpu",
        "label-worker-gpu",
        "training-worker-cpu",
        "training-worker-gpu",
    }
    assert set(SERVICES) - set(OURS) == {"postgres", "redis", "objects"}


def test_the_schema_of_compose():
    """The schema that the compose specification publishes, as check-jsonschema carries it."""
    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            REPOSITORY / "docker-compose.yml",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_yaml_style():
    files = [REPOSITORY / "docker-compose.yml", REPOSITORY / "deploy"]
    rules = "{extends: relaxed, rules: {line-length: {max: 120}}}"
    subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "-d", rules, *files], check=True, timeout=60
    )


@pytest.mark.parametrize("name", OURS)
def test_the_command_of_a_service_can_be_run(name):
    module = module_of(OURS[name]["command"])
    spec = importlib.util.find_spec(module)
    assert spec is not None
    if spec.submodule_search_locations is not None:
        assert importlib.util.find_spec(f"{module}.__main__") is not None


@pytest.mark.parametrize("name", OURS)
def test_the_image_of_a_service_is_built_from_a_stage_that_exists(name):
    assert f" AS {OURS[name]['build']['target']}\n" in DOCKERFILE


def test_the_api_alone_is_published_and_asks_for_keys():
    assert [name for name in SERVICES if "ports" in SERVICES[name]] == ["api"]
    assert OURS["api"]["environment"]["SELVAGE_REQUIRE_KEYS"] == "always"


def test_the_environment_names_settings():
    known = {f"SELVAGE_{name.upper()}" for name in Settings.model_fields}
    for service in OURS.values():
        assert set(service["environment"]) <= known


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrations"}))
def test_what_runs_for_long_is_started_again(name):
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_no_password_has_a_default():
    used = re.findall(r"\$\{([^}]*)\}", COMPOSE_TEXT)
    assert used
    secrets = [variable for variable in used if "PUBLISH" not in variable]
    assert all(":?" in variable for variable in secrets)
    example = (REPOSITORY / "deploy" / "env.example").read_text()
    assert {v.partition(":")[0] for v in secrets} == set(re.findall(r"^(\w+)=$", example, re.M))


def test_the_order_of_the_start():
    for name in set(OURS) - {"migrations"}:
        assert SERVICES[name]["depends_on"]["migrations"] == {
            "condition": "service_completed_successfully"
        }
    assert SERVICES["migrations"]["restart"] == "no"


def test_both_images_run_without_root():
    stages = DOCKERFILE.split("\nFROM ")
    for stage in stages:
        if " AS slim\n" in stage or " AS worker\n" in stage:
            assert "USER selvage" in stage


def test_the_slim_lock_is_a_part_of_the_lock():
    lines = [
        set((REPOSITORY / f).read_text().split())
        for f in ("requirements.lock", "requirements-slim.lock")
    ]
    assert lines[1] < lines[0]
    assert {"torch", "transformers", "safetensors", "pytest"} <= set(LEFT_OUT)


def test_the_worker_image_adds_what_is_in_the_lock():
    (added,) = re.findall(r'grep -E "\^\(([^)]+)\)==', DOCKERFILE)
    assert set(added.split("|")) <= set(LEFT_OUT)


BLOCKED_IMPORT = """
import importlib, importlib.metadata, sys
left_out, module = set(sys.argv[1].split("|")), sys.argv[2]
owners = importlib.metadata.packages_distributions()

class Refuse:
    def find_spec(self, name, path=None, target=None):
        for owner in owners.get(name.partition(".")[0], []):
            if owner.lower().replace("_", "-") in left_out:
                raise ModuleNotFoundError(f"{name} is not in the slim image")

sys.meta_path.insert(0, Refuse())
importlib.import_module(module)
"""


@pytest.mark.parametrize(
    "module", [module_of(it["command"]) for it in OURS.values() if it["image"] == "selvage-slim"]
)
def test_services_of_the_slim_image_import_without_what_it_lacks(module):
    found = importlib.util.find_spec(module)
    assert found is not None
    target = f"{module}.__main__" if found.submodule_search_locations is not None else module
    subprocess.run(
        [sys.executable, "-c", BLOCKED_IMPORT, "|".join(LEFT_OUT), target],
        cwd=REPOSITORY,
        check=True,
        timeout=60,
    )
