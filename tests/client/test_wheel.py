"""The client as others install it: one wheel, nothing of the service in it."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROBE = """
import json, sys
import selvage_client, selvage_client.cli
import api_schemas.jobs
client = selvage_client.Selvage("http://127.0.0.1:1")
selvage_client.cli.build_app()
loaded = {name.split(".")[0] for name in sys.modules}
print(json.dumps({
    "from": [selvage_client.__file__, api_schemas.jobs.__file__],
    "heavy": sorted(loaded & {"torch", "numpy", "PIL", "sqlalchemy", "celery", "fastapi"}),
    "ours": sorted(loaded & {"models", "service", "workers", "domain", "storage", "ops"}),
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build in a copy, because setuptools leaves its build folder beside the sources."""
    copy = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    for folder in ("client", "api_schemas"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"]
    command += ["--no-index", "--wheel-dir", str(copy / "out"), str(copy / "client")]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (copy / "out").glob("*.whl")
    return path


def test_the_wheel_holds_every_module_of_the_client_and_the_wire_models(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    packages = {
        "selvage_client": ROOT / "client" / "selvage_client",
        "api_schemas": ROOT / "api_schemas",
    }
    expected = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in packages.items()
        for path in folder.rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert names == expected


def test_the_wheel_needs_little(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        lines = archive.read(metadata).decode().splitlines()
    needed = sorted(
        line.split()[1].split(">")[0] for line in lines if line.startswith("Requires-D")
    )
    assert needed == ["httpx", "pydantic", "python-ulid", "rich", "typer"]


def test_the_wheel_works_where_the_repository_is_not(wheel: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    path = os.pathsep.join([str(unpacked), sysconfig.get_path("purelib")])
    # -S: without it the checkout's own editable installation would be on the path as well.
    probe = subprocess.run(
        [sys.executable, "-S", "-c", PROBE],
        cwd=tmp_path,
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert probe.returncode == 0, probe.stderr
    found = json.loads(probe.stdout)
    assert all(file.startswith(str(unpacked)) for file in found["from"])
    assert found["heavy"] == []
    assert found["ours"] == []
