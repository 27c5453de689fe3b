"""The files for a deployment are what systemd, compose and ampd take, and fit each other."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_pydantic import ComposeSpecification

from ampd.cli.ampd import app, config_behind_command
from ampd.config import load_config
from support.pages import commands_in
from support.units import Unit, unit_in, variables_in

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "examples" / "deploy"
SYSTEMD = DEPLOY / "systemd"
COMPOSE = DEPLOY / "compose"
UNITS = ["ampd-controller", "ampd-worker@eth-1"]
# 0 is a service that may do nothing, 10 one that may do everything. systemd calls 2.5 and less "OK".
MOST_EXPOSED = 2.0


def unit(name: str) -> Unit:
    return unit_in(SYSTEMD, name)


@pytest.fixture(params=UNITS)
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit as it is on a machine where ampd is installed: here, where it is."""
    source = unit(request.param).file
    text = source.read_text(encoding="utf-8").replace("/opt/ampd/bin", str(Path(sys.executable).parent))
    file = tmp_path / f"{request.param}.service"
    file.write_text(text, encoding="utf-8")
    return file


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=30)


@needs_systemd
def test_systemd_takes_the_units_without_a_word(installed: Path) -> None:
    done = analyze("verify", str(installed))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_systemd_would_say_what_it_does_not_know(installed: Path) -> None:
    wrong = installed.read_text(encoding="utf-8").replace("ProtectHome=", "ProtectHoem=")
    installed.write_text(wrong, encoding="utf-8")
    assert "ProtectHoem" in analyze("verify", str(installed)).stderr


@needs_systemd
def test_the_services_may_do_little(installed: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}", str(installed))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", UNITS)
def test_the_commands_of_the_units_can_be_typed(name: str) -> None:
    program, *arguments = unit(name).command
    assert program == "/opt/ampd/bin/ampd"
    app.parse_args(config_behind_command(arguments), exit_on_error=False, print_error=False)


def test_the_units_name_files_that_the_page_installs() -> None:
    installs = " ".join(commands_in(ROOT / "docs" / "operations.md", "## Install on several machines"))
    for name in UNITS:
        options = unit(name)
        config = options.command[options.command.index("--config") + 1]
        for path in (config, options.option("EnvironmentFile"), "/opt/ampd"):
            assert path in installs, f"{name} needs {path}"
        account = options.option("User")
        assert re.search(rf"useradd .*--home-dir /var/lib/{options.option('StateDirectory')} .*{account}\b", installs)
    for source in re.findall(r"examples/deploy/\S+", installs):
        assert list(ROOT.glob(source)), source


def test_a_worker_has_time_to_drain_before_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = unit("ampd-worker@eth-1")
    assert worker.option("KillSignal") == "SIGTERM"
    assert worker.seconds("TimeoutStopSec") >= load_config(DEPLOY / "config.toml").worker.drain_timeout_secs + 10
    drain = load_config(COMPOSE / "config.toml").worker.drain_timeout_secs
    for name, service in compose()["services"].items():
        if name.startswith("worker"):
            assert float(service["stop_grace_period"].removesuffix("s")) >= drain + 10


def test_a_service_comes_back_when_postgresql_was_away_but_not_when_its_command_is_wrong() -> None:
    for name in UNITS:
        options = dict(unit(name).options)
        assert (options["Restart"], options["RestartPreventExitStatus"]) == ("on-failure", "2")
        assert options["StartLimitIntervalSec"] == "0", "it is never given up"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    variables = variables_in(DEPLOY / "ampd.env.example")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield variables


def test_ampd_takes_the_configuration_and_its_environment(environment: dict[str, str]) -> None:
    config = load_config(DEPLOY / "config.toml")
    assert config.ignored_keys == ()
    assert config.require_metadata_db_url() == environment["AMP_CONFIG_METADATA_DB__URL"]
    assert (config.data_dir, config.admin_api.tls_cert_file) == ("/var/lib/ampd/data", "/etc/ampd/tls.pem")


def test_no_example_holds_a_secret() -> None:
    for file in (path for path in DEPLOY.rglob("*") if path.is_file()):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"://[^\s:/@]+:[^\s$@]+@", text), f"a password in a URL of {file}"
        given = re.findall(r"^[^#\n]*(?:PASSWORD|SECRET\w*|ACCESS_KEY_ID)(?:: |=)(\S+)", text, re.MULTILINE)
        assert [value for value in given if not value.startswith("${")] == [], file


def compose() -> dict[str, Any]:
    document = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
    return {key: value for key, value in document.items() if not key.startswith("x-")}


def test_the_compose_file_is_one() -> None:
    """The model is made from the JSON schema of the compose specification, and takes no key that it does not have."""
    assert ComposeSpecification(**compose())
    wrong = compose()
    wrong["services"]["worker-1"]["restrat"] = "always"
    with pytest.raises(ValueError, match="restrat"):
        ComposeSpecification(**wrong)


def ampd_services() -> dict[str, Any]:
    return {name: service for name, service in compose()["services"].items() if name != "postgres"}


def test_containers_start_commands_of_ampd_with_a_configuration_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sorted(ampd_services()) == ["controller-1", "controller-2", "worker-1", "worker-2"]
    assert 'ENTRYPOINT ["ampd"]' in (COMPOSE / "Dockerfile").read_text(encoding="utf-8")
    node_ids = set()
    for name, service in ampd_services().items():
        with monkeypatch.context() as patch:
            for key, value in service["environment"].items():
                patch.setenv(key, value)
            app.parse_args(service["command"], exit_on_error=False, print_error=False)
            mounted, at, _ = service["volumes"][0].split(":")
            assert service["environment"]["AMP_CONFIG"] == at
            config = load_config(COMPOSE / mounted)
            assert (config.ignored_keys, config.metadata_db.url) == ((), "postgresql://ampd@postgres/ampd")
        lake, lake_at = service["volumes"][1].split(":")
        assert lake in compose()["volumes"]
        assert config.data_dir.startswith(f"{lake_at}/")
        node_ids.add(service["environment"].get("AMP_NODE_ID", name))
    assert len(node_ids) == 4


def test_variables_of_the_compose_file_are_in_its_example() -> None:
    named = set(re.findall(r"\$\{(\w+)", (COMPOSE / "compose.yaml").read_text(encoding="utf-8")))
    assert named == set(variables_in(COMPOSE / ".env.example"))


def copied_files() -> list[str]:
    """Return what the first stage of the Dockerfile takes from the checkout."""
    text = (COMPOSE / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [shlex.split(line)[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line]
    return [source for sources in lines for source in sources]


def test_the_image_has_all_that_the_package_is_built_from(tmp_path: Path) -> None:
    tree, wheels = tmp_path / "src", tmp_path / "wheels"
    allowed = [line[1:] for line in (COMPOSE / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"]
    for source in copied_files():
        assert any(source == path or source.startswith(f"{path}/") for path in allowed), f"{source} is ignored"
        target = tree / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(wheels)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    names = zipfile.ZipFile(next(wheels.iterdir())).namelist()
    assert "ampd/jobs/sql/beat.sql" in names
    assert any(name.startswith("ampd/demo/blocks/") for name in names)
