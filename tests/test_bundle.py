"""The front end's bundle: built from what is in widgets/, whole, and in the wheel (tests/test_packaging.py opens that)."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WIDGETS = ROOT / "widgets"
BUNDLE = ROOT / "wfkernel" / "static" / "run_card.js"
ESBUILD = WIDGETS / "node_modules" / "esbuild"


def test_bundle_needs_nothing_else() -> None:
    text = BUNDLE.read_text()
    assert "export{" in text
    assert not re.findall(r"""\bimport\s*[({"'*]|\bfrom\s*["']""", text)
    assert not re.findall(r"https?://|//cdn|url\(", text)
    assert len(text) < 150_000


def test_versions_of_the_tools_are_exact_and_no_lock_file_names_a_host() -> None:
    tools = json.loads((WIDGETS / "package.json").read_text())["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in tools.values()), tools
    assert not (WIDGETS / "package-lock.json").exists()


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is needed to build the front end only")
@pytest.mark.skipif(not ESBUILD.exists(), reason="`make widgets` installs esbuild")
def test_bundle_is_built_from_what_is_there(tmp_path: Path) -> None:
    again = tmp_path / "run_card.js"
    subprocess.run(["node", "build.js", str(again)], cwd=WIDGETS, check=True, capture_output=True, text=True)
    assert again.read_bytes() == BUNDLE.read_bytes(), "run `make widgets`, and commit wfkernel/static"
