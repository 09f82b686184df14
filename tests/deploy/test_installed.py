"""The wheel as others install it: in environments of their own, away from the checkout, with each extra."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORMATS = {"xlsx": "xlsx", "parquet": "parquet", "": "html"}


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=clean | environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", place, ROOT, cwd=place)
    (made,) = place.glob("easemob_archiver-*.whl")
    return made


@pytest.fixture
def installed(wheel: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The folder of programs of a new environment."""
    venv.create(tmp_path / "env", with_pip=True)
    extra = f"[{request.param}]" if request.param else ""
    programs = tmp_path / "env" / "bin"
    run(programs / "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}{extra}", cwd=tmp_path)
    return programs


@pytest.mark.parametrize("installed", ["", "xlsx", "parquet", "metrics", "evidence"], indirect=True)
def test_the_wheel_archives_and_does_what_its_extra_is_for(
    installed: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    archiver, extra = installed / "archiver", request.node.callspec.params["installed"]
    assert run(archiver, "--version", cwd=tmp_path).startswith("archiver ")
    shown = run(archiver, "demo", "--directory", "demo", "--messages", "60", cwd=tmp_path)
    assert "Next, with an account of the provider" in shown
    there = ("--config", "demo/config.toml")
    assert "正常" in run(archiver, *there, "status", "--language", "zh", cwd=tmp_path), "catalogues are in the wheel"
    if extra in FORMATS:
        run(archiver, *there, "export", "--format", FORMATS[extra], "--output", "out", cwd=tmp_path)
        manifest = json.loads((tmp_path / "out/manifest.json").read_text())
        assert manifest["counts"]["messages"] == 60
    elif extra == "metrics":
        assert "archiver_database_up 1.0" in run(archiver, *there, "status", "--format", "prometheus", cwd=tmp_path)
    else:
        run(installed / "python", "-c", "import cryptography", cwd=tmp_path)
    assert (installed.parent / "share/man/man1/archiver.1").read_text().startswith(".TH ARCHIVER 1")


def test_pipx_installs_and_removes_it(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    programs = tmp_path / "env" / "bin"
    run(programs / "pip", "install", "--quiet", "--disable-pip-version-check", "pipx", cwd=tmp_path)
    homes = {"PIPX_HOME": f"{tmp_path}/pipx", "PIPX_BIN_DIR": f"{tmp_path}/bin", "PIPX_MAN_DIR": f"{tmp_path}/man"}
    run(programs / "pipx", "install", "--python", sys.executable, wheel, cwd=tmp_path, **homes)
    assert run(tmp_path / "bin/archiver", "--version", cwd=tmp_path).startswith("archiver ")
    assert (tmp_path / "man/man1/archiver.1").exists()
    run(programs / "pipx", "uninstall", "easemob-archiver", cwd=tmp_path, **homes)
    assert not (tmp_path / "bin/archiver").exists()


def test_the_manual_page_has_no_mistake(tmp_path: Path) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    page = ROOT / "docs" / "archiver.1"
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", str(page)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "quarantine requeue" in done.stdout
