"""The wheel, built as a release would build it: what must be inside, and what must not."""

import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

import wfkernel

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (built,) = folder.glob("*.whl")
    return zipfile.Path(built)


@pytest.fixture(scope="module")
def names(wheel: zipfile.Path) -> set[str]:
    return set(wheel.root.namelist())


@pytest.fixture(scope="module")
def about(wheel: zipfile.Path) -> Message:
    (name,) = [name for name in wheel.root.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.root.read(name).decode())


def test_every_file_of_the_package_is_in_the_wheel(names: set[str]) -> None:
    files = [path for path in (ROOT / "wfkernel").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.relative_to(ROOT).as_posix() for path in files} - names == set()


def test_type_marker_and_schema_are_in_the_wheel(names: set[str]) -> None:
    assert "wfkernel/py.typed" in names
    assert [name for name in names if name.startswith("wfkernel/journal/") and name.endswith(".sql")]


def test_nothing_but_the_package_is_in_the_wheel(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"wfkernel"}


def test_license_travels_with_the_wheel(names: set[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_one_version_everywhere(about: Message) -> None:
    assert wfkernel.__version__ == metadata.version("wfkernel") == about["Version"]
