"""The package as it is shipped: complete, and nothing else in it."""

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

from weldcache.evaluate.trials.variant_list import shipped_lists
from weldcache.settings import preset_names

ROOT = Path(__file__).resolve().parents[1]
NOT_SHIPPED = {"tests", "benchmarks", "docs", "examples", "build", "demo"}


def tracked_files() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.split("\n")


def listed_packages() -> list[str]:
    return list(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])


def test_every_folder_with_code_is_listed() -> None:
    found = {
        ".".join(["weldcache", *path.parent.relative_to(ROOT).parts])
        for path in ROOT.rglob("__init__.py")
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        and path.relative_to(ROOT).parts[0] not in NOT_SHIPPED
    }
    assert found == set(listed_packages())


def test_no_module_imports_itself_by_a_detour() -> None:
    """Imports inside functions count too; what a circle would go through is in the error."""
    graph = grimp.build_graph("weldcache", cache_dir=None)
    TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules}).prepare()


def test_faces_of_packages_hold_a_docstring_only() -> None:
    for path in ROOT.rglob("__init__.py"):
        if path == ROOT / "__init__.py" or any(part.startswith(".") for part in path.relative_to(ROOT).parts):
            continue  # that of the root offers the API
        lines = path.read_text().strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith('"""'), path


def test_only_meant_modules_stand_at_the_root() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == {
        "__init__.py",
        "__main__.py",
        "api.py",
        "atomic.py",
        "documents.py",
        "errors.py",
        "findings.py",
        "owners.py",
        "progress.py",
        "settings.py",
        "tables.py",
        "wording.py",
    }


def test_nothing_unpickles() -> None:
    """The one exception reads tensors alone, of a file whose hash is known: see extract/weights/conversion.py."""
    forbidden = ("pickle", "torch.load", "yaml.load(", "allow_pickle", "weights_only=False", "joblib")
    restricted = 'torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)'
    for name in tracked_files():
        if name.endswith((".py", ".sh", ".toml")) and name != "tests/test_packaging.py":
            code = (ROOT / name).read_text()
            if name.startswith("tests/"):  # a test may show that such a file is refused
                continue
            if name == "extract/weights/conversion.py":
                assert code.count(restricted) == 1
                code = code.replace(restricted, "")
            assert not [word for word in forbidden if word in code], name


def test_public_modules_do_nothing_heavy_when_the_command_line_is_imported() -> None:
    code = (
        "import sys, weldcache.cli.main\n"
        "heavy = {'torch', 'transformers', 'numpy', 'zarr', 'cv2', 'pydantic', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)


@pytest.mark.slow
def test_the_package_offers_its_api_and_imports_it_when_asked() -> None:
    code = (
        "import sys, time; before = time.perf_counter()\n"
        "import weldcache\n"
        "assert time.perf_counter() - before < 0.2\n"
        "assert not {'torch', 'numpy', 'pandas', 'pydantic'} & set(sys.modules)\n"
        "assert callable(weldcache.api.train) and callable(weldcache.api.train)\n"
        "assert set(weldcache.api.__all__) <= set(dir(weldcache.api))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a clean copy of what git tracks, with the installed setuptools."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked_files():
        if name and (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)],
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"weldcache"}
    assert not [name for name in names if name.startswith(tuple(f"weldcache/{folder}/" for folder in NOT_SHIPPED))]
    assert {"weldcache/py.typed", "weldcache/configs/demo.yaml", "weldcache/configs/v5.yaml"} <= set(names)
    assert "weldcache/evaluate/report/report.html" in names
    modules = {name for name in names if name.endswith(".py")}
    expected = {
        f"weldcache/{name}"
        for name in tracked_files()
        if name.endswith(".py") and name.partition("/")[0] not in NOT_SHIPPED
    }
    assert modules == expected


@pytest.mark.slow
def test_the_wheel_works_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, system_site_packages=False)
    site = next(environment.glob("lib/python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    # The dependencies come from the environment that runs the tests; only weldcache itself is the wheel's.
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(dependencies))
    code = "import weldcache.cli.main as m; print(m.__file__); m.run(['config', 'list']); m.run(['bench'])"
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    python = environment / "bin/python"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, env=alone, capture_output=True, text=True, check=True)
    where, *listed = done.stdout.splitlines()
    assert where.startswith(str(site))
    assert {*preset_names(), *shipped_lists()} <= {line.split()[0] for line in listed if line.strip()}
