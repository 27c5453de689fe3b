"""Bad configuration, requests, nodes, disks: each ends in one clear message, and nothing half-written counts."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg
import pytest
from bad_nodes import BAD_NODES

from support.daemons import Cluster, ampd, free_port, run_ampctl, wait_for
from support.deploy import deploy, register, register_dataset, register_provider
from support.forked import run_daemon
from support.lake import read_table, registered_ranges
from support.nodes import FIRST_BLOCK, on_thread

SECRET = "0f3a9c7e5b1d4862a7c9e0d1f2b3a495"  # as long as the keys that hosted nodes put into their URLs


def assert_refused(done: subprocess.CompletedProcess[str], *parts: str, code: int = 1) -> None:
    """One clear message on stderr, with all ``parts``; no stack trace."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    output = done.stdout + done.stderr
    assert "Traceback" not in output
    assert [part for part in parts if part not in output] == [], output


class TestADaemonThatCannotStart:
    def config(self, tmp_path: Path, text: str) -> tuple[str, str]:
        file = tmp_path / "config.toml"
        file.write_text(text, encoding="utf-8")
        return "--config", str(file)

    @pytest.mark.parametrize(
        "command", [("controller",), ("worker", "--node-id", "w"), ("migrate",)], ids=lambda c: c[0]
    )
    def test_names_an_unknown_key_and_the_one_that_was_meant(self, tmp_path: Path, command: tuple[str, ...]) -> None:
        options = self.config(tmp_path, 'admin_api_adr = "127.0.0.1:1610"\n')
        assert_refused(
            run_daemon(*options, *command),
            "admin_api_adr",
            str(tmp_path / "config.toml"),
            "did you mean admin_api_addr?",
        )

    def test_names_the_config_file_that_is_missing(self, tmp_path: Path) -> None:
        missing = str(tmp_path / "nowhere.toml")
        assert_refused(run_daemon("--config", missing, "controller"), missing, "does not exist", "--config")

    def test_names_the_line_of_broken_toml(self, tmp_path: Path) -> None:
        options = self.config(tmp_path, 'data_dir = "x"\n[worker\nslots = 1\n')
        assert_refused(run_daemon(*options, "controller"), str(tmp_path / "config.toml"), "not valid TOML", "line 2")

    def test_says_that_the_database_cannot_be_reached_without_its_password(self, tmp_path: Path) -> None:
        url = f"postgresql://amp:{SECRET}@127.0.0.1:{free_port()}/amp"
        options = self.config(tmp_path, f'[metadata_db]\nurl = "{url}"\n')
        for command in (("controller",), ("worker", "--node-id", "w")):
            done = run_daemon(*options, *command)
            assert_refused(done, "127.0.0.1", "metadata database")
            assert SECRET not in done.stdout + done.stderr

    def test_says_which_scheme_the_database_url_needs(self, tmp_path: Path) -> None:
        options = self.config(tmp_path, f'[metadata_db]\nurl = "mysql://amp:{SECRET}@127.0.0.1/amp"\n')
        done = run_daemon(*options, "controller")
        assert_refused(done, "metadata_db.url", "postgresql://")
        assert SECRET not in done.stdout + done.stderr

    def test_says_that_the_database_is_not_configured(self, tmp_path: Path) -> None:
        options = self.config(tmp_path, "")
        assert_refused(run_daemon(*options, "controller"), "metadata_db.url", "AMP_CONFIG_METADATA_DB__URL")

    @pytest.mark.parametrize("command", [("controller",), ("worker", "--node-id", "w")], ids=lambda c: c[0])
    def test_says_how_to_migrate_a_database_that_it_may_not_migrate(
        self, tmp_path: Path, empty_database_url: str, command: tuple[str, ...]
    ) -> None:
        options = self.config(tmp_path, f'[metadata_db]\nurl = "{empty_database_url}"\nauto_migrate = false\n')
        assert_refused(run_daemon(*options, *command), "0001_first_tables", "ampd --config <file> migrate")
        with psycopg.connect(empty_database_url) as connection:
            tables = connection.execute("SELECT * FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert tables == []

    @pytest.mark.parametrize("node_id", ["1-worker", "worker@01", "worker#01", "", "wörker", "-"])
    def test_says_what_is_wrong_with_a_node_id(self, tmp_path: Path, node_id: str) -> None:
        options = self.config(tmp_path, "")
        done = run_daemon(*options, "worker", f"--node-id={node_id}")
        assert_refused(done, "Invalid worker ID", f"'{node_id}'")

    def test_names_the_address_that_is_taken(self, tmp_path: Path, database_url: str) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            options = self.config(tmp_path, f'admin_api_addr = "{address}"\n[metadata_db]\nurl = "{database_url}"\n')
            assert_refused(run_daemon(*options, "controller"), address, "admin_api_addr")

    def test_does_not_serve_other_machines_without_tokens(self, tmp_path: Path, database_url: str) -> None:
        address = f"0.0.0.0:{free_port()}"
        options = self.config(tmp_path, f'admin_api_addr = "{address}"\n[metadata_db]\nurl = "{database_url}"\n')
        assert_refused(run_daemon(*options, "controller"), address, "--insecure")


@pytest.fixture(scope="module")
def served(module_cluster: Cluster) -> Cluster:
    """A controller and the worker `worker`."""
    module_cluster.start_controller()
    module_cluster.start_worker("worker")
    return module_cluster


def test_a_node_id_in_use_ends_the_second_worker_and_not_the_first(served: Cluster) -> None:
    started = time.monotonic()
    log = served.directory / "second.log"
    second = ampd("--config", str(served.config), "worker", "--node-id", "worker", log=log)
    try:
        assert second.wait(20) == 1
    finally:
        second.end()
    assert time.monotonic() - started < 10
    assert "a worker with the node id 'worker' is already running" in second.text()
    assert "--node-id" in second.text()

    def beat() -> str:
        return str(httpx.get(f"{served.admin_url}/workers/worker").json()["heartbeat_at"])

    before = beat()
    wait_for("the next heartbeat of the first", lambda: beat() > before)
    assert served.processes[1].popen.poll() is None


class TestARequestThatCannotBe:
    """Through ampctl: exit code 1 and a message; nothing is stored."""

    def manifest_file(self, tmp_path: Path, text: str) -> str:
        file = tmp_path / "manifest.json"
        file.write_text(text, encoding="utf-8")
        return str(file)

    def test_deploy_without_a_provider_says_how_to_add_one(self, served: Cluster) -> None:
        register_dataset(served, "bad/nobody", "nobody_has_it")
        done = served.ampctl("dataset", "deploy", "bad/nobody@1.0.0")
        assert_refused(done, "nobody_has_it", "ampctl provider register")

    def test_deploy_names_the_provider_file_that_is_broken(self, served: Cluster) -> None:
        register_dataset(served, "bad/broken_file", "broken_file")
        providers = served.directory / "providers"
        providers.mkdir(exist_ok=True)
        file = providers / "broken_file.toml"
        file.write_text('kind = "evm-rpc"\nnetwork = "broken_file\n', encoding="utf-8")
        try:
            done = served.ampctl("dataset", "deploy", "bad/broken_file@1.0.0")
        finally:
            file.unlink()
        assert_refused(done, "broken_file.toml")

    def test_manifest_that_is_not_json_is_refused_with_line_and_column(self, served: Cluster, tmp_path: Path) -> None:
        file = self.manifest_file(tmp_path, '{"kind": "evm-rpc",\n oops}')
        done = served.ampctl("dataset", "register", "bad/not_json", file, "--tag", "1.0.0")
        assert_refused(done, file, "not JSON", "line 2")
        assert httpx.get(f"{served.admin_url}/datasets/bad/not_json").status_code == 404

    def test_manifest_of_an_unknown_kind_is_refused_with_the_known_ones(self, served: Cluster, tmp_path: Path) -> None:
        file = self.manifest_file(tmp_path, '{"kind": "solana", "network": "mainnet", "tables": {}}')
        done = served.ampctl("dataset", "register", "bad/kind", file, "--tag", "1.0.0")
        assert_refused(done, "solana", "evm-rpc")
        assert httpx.get(f"{served.admin_url}/datasets/bad/kind").status_code == 404

    @pytest.mark.parametrize(
        "reference", ["no-slash", "a/b/c", "Upper/case@1.0.0", "eth/mainnet@not a version", "/@", "a/b@"]
    )
    def test_reference_that_does_not_parse_is_refused(self, served: Cluster, reference: str) -> None:
        done = served.ampctl("dataset", "deploy", reference)
        assert_refused(done, reference)

    def test_unknown_dataset_and_unknown_version_are_named(self, served: Cluster) -> None:
        assert_refused(served.ampctl("dataset", "deploy", "no/such@1.0.0"), "no/such", "not found")
        register_dataset(served, "bad/version", "mainnet")
        assert_refused(served.ampctl("dataset", "deploy", "bad/version@9.9.9"), "bad/version", "9.9.9", "not found")

    def test_unset_variable_of_a_provider_is_named_by_the_job(self, served: Cluster) -> None:
        register(served, "${AMPD_TEST_UNSET_URL}", network="unset_variable")
        job_id = deploy(served, "bad/unset_variable", end_block=1)
        error = served.wait_for_error(job_id)
        assert error["error_code"] == "INVALID_PROVIDER"
        assert "AMPD_TEST_UNSET_URL" in error["error_message"]
        assert "unset_variable.toml" in error["error_message"]

    def test_admin_api_that_is_not_there_is_named(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        assert_refused(run_ampctl("job", "list", "--admin-url", url), url)

    def test_unknown_command_and_option_are_bad_usage(self, served: Cluster) -> None:
        assert_refused(served.ampctl("job", "explode"), "--help", code=2)
        assert_refused(served.ampctl("job", "list", "--colour", "red"), "--colour", "--help", code=2)
        assert_refused(served.ampctl("job", "inspect", "twelve"), "twelve", code=2)


HUGE = str(2**63)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/jobs/abc", None, 400, "INVALID_JOB_ID"),
        ("GET", "/jobs/0", None, 400, "INVALID_JOB_ID"),
        ("GET", "/jobs/-1", None, 400, "INVALID_JOB_ID"),
        ("GET", f"/jobs/{HUGE}", None, 400, "INVALID_JOB_ID"),
        ("GET", "/jobs/987654321", None, 404, "JOB_NOT_FOUND"),
        ("GET", "/jobs/987654321/progress", None, 404, "JOB_NOT_FOUND"),
        ("GET", "/jobs/987654321/events", None, 404, "JOB_NOT_FOUND"),
        ("PUT", "/jobs/987654321/stop", None, 404, "JOB_NOT_FOUND"),
        ("GET", "/jobs?limit=0", None, 400, "LIMIT_INVALID"),
        ("GET", "/jobs?limit=1001", None, 400, "LIMIT_TOO_LARGE"),
        ("GET", "/jobs?limit=many", None, 400, "INVALID_QUERY_PARAMETERS"),
        ("GET", "/jobs?status=sleeping", None, 400, "INVALID_QUERY_PARAMETERS"),
        ("GET", "/jobs?colour=red", None, 400, "INVALID_QUERY_PARAMETERS"),
        ("DELETE", "/jobs?status=running", None, 400, "INVALID_QUERY_PARAM"),
        ("GET", "/workers/1-worker", None, 400, "INVALID_WORKER_ID"),
        ("GET", "/workers/nobody", None, 404, "WORKER_NOT_FOUND"),
        ("GET", "/nowhere", None, 404, "NOT_FOUND"),
        ("POST", "/workers", "{}", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/datasets/no/such", None, 404, "DATASET_NOT_FOUND"),
        ("GET", "/datasets/no/such/versions/1.0.0", None, 404, "DATASET_NOT_FOUND"),
        ("GET", "/manifests/zzz", None, 400, "INVALID_HASH"),
        ("GET", f"/manifests/{'0' * 64}", None, 404, "MANIFEST_NOT_FOUND"),
        ("POST", "/manifests", "{", 400, "INVALID_PAYLOAD_FORMAT"),
        ("POST", "/manifests", "[]", 400, "INVALID_PAYLOAD_FORMAT"),
        ("POST", "/manifests", "{}", 400, "INVALID_MANIFEST"),
        ("POST", "/datasets", "", 400, "INVALID_PAYLOAD_FORMAT"),
        ("POST", "/datasets", '{"namespace": 1}', 400, "INVALID_PAYLOAD_FORMAT"),
        ("POST", "/providers", '{"name": "x"}', 400, "INVALID_REQUEST_BODY"),
        ("POST", "/providers", '{"name": "../x", "kind": "evm-rpc"}', 400, "INVALID_PROVIDER_NAME"),
        (
            "POST",
            "/providers",
            '{"name": "x", "kind": "evm-rpc", "network": "x", "url": "ftp://x"}',
            400,
            "INVALID_PROVIDER",
        ),
        ("GET", "/providers/nobody", None, 404, "PROVIDER_NOT_FOUND"),
        ("POST", "/datasets/bad/base/versions/1.0.0/deploy", '{"end_block": "soon"}', 400, "INVALID_BODY"),
        ("POST", "/datasets/bad/base/versions/1.0.0/deploy", '{"end_block": 1.5}', 400, "INVALID_BODY"),
        ("POST", "/datasets/bad/base/versions/1.0.0/deploy", '{"parallelism": 0}', 400, "INVALID_BODY"),
        ("POST", "/datasets/bad/base/versions/1.0.0/deploy", '{"worker_id": "1*"}', 400, "INVALID_BODY"),
        ("POST", "/datasets/bad/base/versions/1.0.0/deploy", '{"endblock": 1}', 400, "INVALID_BODY"),
        ("POST", "/datasets/bad/base/versions/1.0.0/deploy", '{"end_block": "9"}', 400, "INVALID_BODY"),
    ],
)
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_api_answers_curl_with_a_code_and_a_message(
    served: Cluster, base_dataset: None, method: str, path: str, body: str | None, status: int, code: str
) -> None:
    command = ["curl", "-s", "-g", "-w", "\n%{http_code}", "-X", method, f"{served.admin_url}{path}"]
    if body is not None:
        command += ["-H", "Content-Type: application/json", "-d", body]
    answer, _, answered = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rpartition("\n")
    error = json.loads(answer)
    assert (int(answered), error["error_code"]) == (status, code), error
    assert set(error) == {"error_code", "error_message"}
    assert error["error_message"]


@pytest.fixture(scope="module")
def base_dataset(served: Cluster) -> None:
    """The dataset bad/base, which starts at block 10 and has a provider."""
    register(served, "http://127.0.0.1:1", network="base_case", start_block=10, name="bad/base")


# Nodes


@pytest.fixture(scope="module")
def bad_jobs(served: Cluster) -> Iterator[dict[str, int]]:
    """The jobs of all bad nodes; they run at the same time."""
    with ExitStack() as nodes:
        jobs = {}
        for name, node in BAD_NODES.items():
            url = nodes.enter_context(on_thread(node.serve()))
            url = url.replace("http://", f"http://user:{SECRET}@")
            register(
                served, f"{url}/v2/{SECRET}?key={SECRET}", network=name, start_block=node.start_block, **node.settings
            )
            jobs[name] = deploy(served, f"bad/{name}", end_block=node.start_block)
        yield jobs
        for job_id in jobs.values():
            httpx.put(f"{served.admin_url}/jobs/{job_id}/stop")


@pytest.mark.parametrize("name", BAD_NODES)
def test_a_bad_node_is_named_by_the_job_and_leaves_nothing_in_the_lake(
    served: Cluster, bad_jobs: dict[str, int], module_database_url: str, name: str
) -> None:
    node, job_id = BAD_NODES[name], bad_jobs[name]
    error = served.wait_for_error(job_id)
    assert error["error_code"] == node.code, error
    assert node.says in error["error_message"], error
    assert "\n" not in error["error_message"]
    assert SECRET not in json.dumps(served.job(job_id))
    assert (served.job(job_id)["status"] == "FAILED") == node.ends
    for table in ("blocks", "transactions", "logs"):
        assert registered_ranges(module_database_url, table, f"bad/{name}") == []


def test_no_log_tells_the_key_in_a_provider_url(served: Cluster, bad_jobs: dict[str, int]) -> None:
    for job_id in bad_jobs.values():
        served.wait_for_error(job_id)
    for log in served.directory.glob("*.log"):
        assert SECRET not in log.read_text(encoding="utf-8")


def test_a_node_that_refuses_connections_is_named_and_the_job_goes_on_when_it_is_back(
    served: Cluster, module_database_url: str, recorded_node: str
) -> None:
    port = free_port()
    register(served, f"http://127.0.0.1:{port}", network="refused", start_block=FIRST_BLOCK)
    job_id = deploy(served, "bad/refused", end_block="latest")
    error = served.wait_for_error(job_id)
    assert error["error_code"] == "NODE_UNREACHABLE"
    assert f"127.0.0.1:{port}" in error["error_message"]
    assert served.job(job_id)["retry_count"] >= 1

    register_provider(served, "refused", "refused", recorded_node)

    job = served.wait_for_status(job_id, "COMPLETED", "FAILED")
    assert (job["status"], job["last_error"], job["retry_count"]) == ("COMPLETED", None, 0)
    assert read_table(module_database_url, served.directory / "data", "logs", "bad/refused").num_rows == 9807


# Disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"this user may not mount a file system: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@pytest.fixture
def deploy_to(served: Cluster, recorded_node: str) -> Iterator[Callable[[Path, str], int]]:
    """Deploy the recorded blocks to a worker of its own whose lake is a given folder."""
    workers = []

    def deploy_to(data_dir: Path, name: str) -> int:
        register_provider(served, "recorded", "recorded", recorded_node)
        register_dataset(served, f"disk/{name}", "recorded", start_block=FIRST_BLOCK)
        workers.append(served.start_worker(f"disk-{name}", environment={"AMP_CONFIG_DATA_DIR": str(data_dir)}))
        return deploy(served, f"disk/{name}", end_block="latest", worker_id=f"disk-{name}")

    yield deploy_to
    for worker in workers:
        assert worker.end() == 0


def assert_nothing_counts(database_url: str, name: str) -> None:
    for table in ("blocks", "transactions", "logs"):
        assert registered_ranges(database_url, table, f"disk/{name}") == []


def test_a_full_disk_is_named_nothing_counts_and_the_job_completes_when_there_is_space(
    served: Cluster, small_disk: Path, deploy_to: Callable[[Path, str], int], module_database_url: str
) -> None:
    job_id = deploy_to(small_disk, "full")
    error = served.wait_for_error(job_id)
    assert error["error_code"] == "DATA_STORE_FULL"
    assert str(small_disk) in error["error_message"]
    assert_nothing_counts(module_database_url, "full")

    remount(small_disk, "size=64m")

    job = served.wait_for_status(job_id, "COMPLETED", "FAILED")
    assert (job["status"], job["last_error"]) == ("COMPLETED", None)
    assert read_table(module_database_url, small_disk, "logs", "disk/full").num_rows == 9807
    on_disk = {file.name for file in small_disk.rglob("*") if file.is_file()}
    with psycopg.connect(module_database_url) as connection:
        query = (
            "SELECT file_name FROM files JOIN table_revisions r ON r.id = revision_id WHERE r.path LIKE 'disk/full/%'"
        )
        counted = {name for (name,) in connection.execute(query)}
    assert on_disk == counted, "files of the attempts that failed are left"


def test_a_read_only_disk_is_named_and_a_deploy_completes_when_it_can_be_written(
    served: Cluster, small_disk: Path, deploy_to: Callable[[Path, str], int], module_database_url: str
) -> None:
    remount(small_disk, "ro,size=64m")
    job_id = deploy_to(small_disk, "readonly")
    error = served.wait_for_error(job_id)
    assert error["error_code"] == "DATA_STORE_NOT_WRITABLE"
    assert str(small_disk) in error["error_message"]
    assert "read-only" in error["error_message"]
    assert served.wait_for_status(job_id, "FAILED")
    assert_nothing_counts(module_database_url, "readonly")

    remount(small_disk, "rw")
    assert deploy(served, "disk/readonly", end_block="latest", worker_id="disk-readonly") == job_id

    job = served.wait_for_status(job_id, "COMPLETED", "FAILED")
    assert (job["status"], job["last_error"]) == ("COMPLETED", None)
    assert read_table(module_database_url, small_disk, "logs", "disk/readonly").num_rows == 9807


def test_a_file_where_the_data_directory_should_be_is_named(
    served: Cluster, tmp_path: Path, deploy_to: Callable[[Path, str], int], module_database_url: str
) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory")
    job_id = deploy_to(file / "data", "below_file")
    error = served.wait_for_error(job_id)
    assert error["error_code"] == "DATA_STORE_NOT_WRITABLE"
    assert str(file) in error["error_message"]
    assert_nothing_counts(module_database_url, "below_file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_the_right_to_write_is_named(
    served: Cluster, tmp_path: Path, deploy_to: Callable[[Path, str], int]
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    error = served.wait_for_error(deploy_to(folder, "locked"))
    assert error["error_code"] == "DATA_STORE_NOT_WRITABLE"
    assert str(folder) in error["error_message"]
