"""The image's recipe, compose and Kubernetes, by the tools that judge them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from archiver import config
from tests.deploy.conftest import DEPLOY, ROOT

MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, DEPLOY / "container/Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_the_manifests_are_valid(path: Path) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate is not installed")
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The pod of a workload, and its containers."""
    spec = document["spec"]
    spec = spec.get("jobTemplate", {}).get("spec", spec)["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    return list(spec["containers"])


def test_every_pod_is_as_small_as_it_can_be() -> None:
    found = [
        container
        for path in MANIFESTS
        for document in documents(path)
        if document["kind"] in ("Deployment", "CronJob", "Job")
        for container in containers(document)
    ]
    assert len(found) == 3
    for container in found:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_the_configurations_that_are_handed_out_are_understood(tmp_path: Path) -> None:
    compose = (DEPLOY / "container/config.toml").read_text()
    (cluster,) = [each for path in MANIFESTS for each in documents(path) if each["kind"] == "ConfigMap"]
    for given in (compose, cluster["data"]["config.toml"]):
        text = given
        for name in set(re.findall(r'_file = "(.*)"', text)):
            local = tmp_path / Path(name).name
            local.write_text("s3cret")
            local.chmod(0o400)
            text = text.replace(name, str(local))
        (tmp_path / "config.toml").write_text(text)
        found = config.load(tmp_path / "config.toml", {})
        assert found.warnings == ()
        assert found.metrics is not None


def test_the_image_gets_what_the_wheel_is_made_of() -> None:
    """A file that the wheel takes along must get past .dockerignore, and be copied."""
    taken = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    recipe, ignored = (DEPLOY / "container/Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().splitlines()
    for name in [*taken["packages"], *taken["force-include"], *taken["shared-data"]]:
        assert f"!{name}" in ignored, name
        assert re.search(rf"^COPY .*\b{re.escape(name)}\b", recipe, re.MULTILINE), name


@pytest.mark.parametrize(
    "given", [{}, {"PIP_INDEX_URL": "https://mirror.example/simple", "BASE_IMAGE": "mirror/python"}]
)
def test_make_image_hands_mirrors_to_the_recipe(given: dict[str, str]) -> None:
    recipe = (DEPLOY / "container/Dockerfile").read_text()
    make = ["make", "--dry-run", "image", "ENGINE=podman", *(f"{name}={value}" for name, value in given.items())]
    # By itself: not as a part of the make that runs the tests, nor with the mirrors of this machine.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PIP_"))}
    environ.pop("BASE_IMAGE", None)
    done = subprocess.run(make, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    call = " ".join(done.stdout.replace("\\\n", " ").split())
    assert call.startswith("podman build -f deploy/container/Dockerfile -t archiver")
    assert re.findall(r"--build-arg (\w+)=(\S+)", call) == sorted(given.items())
    assert call.endswith(" .")
    assert re.search(r"^ARG BASE_IMAGE=\S+$", recipe, re.MULTILINE), "and there is a default"
    assert re.search(r"^ARG PIP_INDEX_URL$", recipe.partition("AS build")[2], re.MULTILINE), (
        "pip's own where none is given"
    )


def test_compose_keeps_the_program_small() -> None:
    (found,) = documents(DEPLOY / "container/compose.yaml")
    for name in ("migrate", "archiver", "pull", "receive", "review"):
        service = found["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        for secret in service["secrets"]:
            assert secret in found["secrets"]
        built = service["build"]
        assert (DEPLOY / "container" / built["context"] / built["dockerfile"]).is_file()
    assert (ROOT / ".dockerignore").read_text().startswith("*\n"), "nothing gets into an image by accident"


def test_the_parts_beside_compose_fit_it() -> None:
    (found,) = documents(DEPLOY / "container/compose.yaml")
    config_text = (DEPLOY / "container/config.toml").read_text()
    service = found["services"]["pull"]
    for name in re.findall(r'^\w+_file = "(.*)"', config_text, re.MULTILINE):
        assert name.removeprefix("/run/secrets/") in service["secrets"]
    assert "./config.toml:/etc/archiver/config.toml:ro" in service["volumes"]
    (store,) = re.findall(r'store = "file://(.*)"', config_text)
    assert any(store.startswith(volume.partition(":")[2]) for volume in service["volumes"])
    receive = found["services"]["receive"]
    assert receive["secrets"] == ["callback-token"], "it knows no other"
    assert receive["profiles"] == ["callbacks"], "config.toml has them switched off"
    section = "".join(line.removeprefix("# ") for line in config_text.splitlines(keepends=True) if "callback" in line)
    for name in re.findall(r'_file = "/run/secrets/(.*)"', section):
        assert name in found["secrets"]
    *_, line = (DEPLOY / "container/crontab").read_text().splitlines()
    assert line.split()[-1] == "pull"
    assert service["profiles"] == ["cron"], "the daemon is what `up` starts"
