"""The container files name what exists: modules, targets, packages; and give no password away."""

import importlib.util
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.ops.processes import REPOSITORY

COMPOSE_TEXT = (REPOSITORY / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE_TEXT)["services"]
OURS = {name: it for name, it in SERVICES.items() if it["image"].startswith("selvage-")}
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
LEFT_OUT = re.findall(r'NOT_IN_SLIM="([^"]+)"', DOCKERFILE)[0].split("|")


def module_of(command: list[str]) -> str:
    return command[command.index("-m") + 1]


def test_all_parts_are_there():
    assert set(OURS) == {"migrations", "api", "scheduler", "label-worker"}
    assert set(SERVICES) - set(OURS) == {"postgres", "redis"}


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


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_before_there_are_keys(name):
    assert "ports" not in SERVICES[name]


def test_no_password_has_a_default():
    used = re.findall(r"\$\{([^}]*)\}", COMPOSE_TEXT)
    assert used
    assert all(":?" in variable for variable in used)


def test_the_order_of_the_start():
    for name in ("api", "scheduler", "label-worker"):
        assert SERVICES[name]["depends_on"]["migrations"] == {
            "condition": "service_completed_successfully"
        }
    assert SERVICES["migrations"]["restart"] == "no"


def test_both_images_run_without_root():
    stages = DOCKERFILE.split("\nFROM ")
    for stage in stages:
        if " AS slim\n" in stage or " AS worker\n" in stage:
            assert "USER selvage" in stage


def test_what_slim_leaves_out_is_in_the_lock():
    locked = set(re.findall(r"^([^=\n]+)==", (REPOSITORY / "requirements.lock").read_text(), re.M))
    assert set(LEFT_OUT) <= locked


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
