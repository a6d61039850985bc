"""Who may import whom, as drawn in pyproject.toml under [tool.importlinter], and what `import wfkernel` may cost."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_import_contracts_hold() -> None:
    # In a process of its own: import-linter configures logging, which disables every logger that exists by then.
    program = (
        "import sys; from importlinter import cli; sys.exit(cli.lint_imports(config_filename='pyproject.toml', no_cache=True))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_randomness_in_core_comes_from_the_seed_of_a_run() -> None:
    uses = {
        f"{path.name}:{node.lineno} random.{node.attr}"
        for path in (ROOT / "wfkernel" / "core").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random"
    }
    assert [use for use in sorted(uses) if not use.endswith(" random.Random")] == []


def test_importing_wfkernel_loads_nothing_of_the_notebook() -> None:
    heavy = {"IPython", "ipykernel", "ipywidgets", "matplotlib", "nest_asyncio2", "pandas"}
    program = f"import sys, wfkernel; print(*sorted({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "wfkernel").rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []
