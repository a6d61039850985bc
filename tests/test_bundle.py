"""The front end's bundles: built from what is in widgets/, whole, and in the wheel (tests/test_packaging.py opens that)."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WIDGETS = ROOT / "widgets"
STATIC = ROOT / "wfkernel" / "static"
BUNDLES = ["run_card.js", "dashboard.js"]
ESBUILD = WIDGETS / "node_modules" / "esbuild"


@pytest.mark.parametrize("name", BUNDLES)
def test_bundle_needs_nothing_else(name: str) -> None:
    text = (STATIC / name).read_text()
    assert "export{" in text
    assert not re.findall(r"""\bimport\s*[({"'*]|\bfrom\s*["']""", text)
    named = text.replace("http://www.w3.org/2000/svg", "")  # a namespace: nobody fetches it
    assert not re.findall(r"https?://|//cdn|url\(", named)
    assert len(text) < 150_000


def test_versions_of_the_tools_are_exact_and_no_lock_file_names_a_host() -> None:
    tools = json.loads((WIDGETS / "package.json").read_text())["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in tools.values()), tools
    assert not (WIDGETS / "package-lock.json").exists()


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is needed to build the front end only")
@pytest.mark.skipif(not ESBUILD.exists(), reason="`make widgets` installs esbuild")
def test_bundles_are_built_from_what_is_there(tmp_path: Path) -> None:
    subprocess.run(["node", "build.js", str(tmp_path)], cwd=WIDGETS, check=True, capture_output=True, text=True)
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(BUNDLES) <= set(built)
    stale = [name for name, content in built.items() if content != (STATIC / name).read_bytes()]
    assert not stale, "run `make widgets`, and commit wfkernel/static"
