"""The configuration: who wins, where directories are, and what an operator is told about a mistake."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import pytest

from ampd.config import (
    KEYS,
    MISSING_METADATA_DB,
    Compression,
    Config,
    load_config,
    parse_compression,
)
from ampd.config_values import split_address
from ampd.errors import AmpError, ErrorCode

URL = "postgresql://ampd:hush@db.example:5432/ampd"
Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.upper().startswith("AMP_"):
            monkeypatch.delenv(name)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a config file into a directory of its own and return its path."""

    def write_file(text: str) -> Path:
        file = tmp_path / "etc" / "config.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file

    return write_file


def refusal(path: Path | None = None, code: ErrorCode = ErrorCode.CONFIG_INVALID) -> str:
    with pytest.raises(AmpError) as refused:
        load_config(path)
    assert refused.value.code == code
    assert "hush" not in refused.value.message
    assert "hush" not in str(refused.value.context)
    return refused.value.message


def test_without_file_and_environment_the_defaults_hold() -> None:
    config = load_config()
    assert config.admin_api_addr == "127.0.0.1:1610"
    assert config.poll_interval_secs == 1.0
    assert (config.metadata_db.url, config.metadata_db.pool_size, config.metadata_db.auto_migrate) == (None, 10, True)
    worker = config.worker
    assert (worker.heartbeat_interval_secs, worker.lease_secs, worker.reconcile_interval_secs) == (1.0, 5.0, 60.0)
    assert (worker.slots, worker.drain_timeout_secs) == (4, 30.0)
    assert config.writer.parsed_compression == Compression("zstd", 1)
    assert (config.writer.target_range_secs, config.writer.max_range_blocks) == (10.0, 100_000)
    assert config.writer.max_range_bytes == 134_217_728
    assert config.ignored_keys == ()


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(f'[metadata_db]\nurl = "{URL}"\npool_size = 3\n[worker]\nslots = 8\n')
    monkeypatch.setenv("AMP_CONFIG_METADATA_DB__POOL_SIZE", "7")
    monkeypatch.setenv("AMP_CONFIG_WRITER__COMPRESSION", "lz4")
    config = load_config(file)
    assert config.metadata_db.url == URL
    assert config.metadata_db.pool_size == 7
    assert config.metadata_db.auto_migrate is True
    assert config.worker.slots == 8
    assert config.writer.parsed_compression == Compression("lz4")
    assert config.file == file


def test_an_empty_variable_counts_as_not_given(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMP_CONFIG_WORKER__SLOTS", "")
    assert load_config(write("[worker]\nslots = 2")).worker.slots == 2


def test_amp_config_names_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("[worker]\nslots = 2")
    monkeypatch.setenv("AMP_CONFIG", str(file))
    assert load_config().worker.slots == 2


def test_a_whole_section_may_be_given_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMP_CONFIG_WORKER", '{"slots": 2}')
    assert load_config().worker.slots == 2


def test_default_directories_are_beside_the_file(write: Write) -> None:
    file = write("")
    config = load_config(file)
    assert config.data_dir == str(file.parent / "data")
    assert config.providers_dir == str(file.parent / "providers")
    assert config.manifests_dir == str(file.parent / "manifests")
    assert not Path(config.data_dir).exists()


def test_default_directories_are_where_the_caller_says(write: Write, tmp_path: Path) -> None:
    assert load_config(write(""), defaults_dir=tmp_path / "amp").data_dir == str(tmp_path / "amp" / "data")
    assert load_config(defaults_dir=Path("amp")).data_dir == str(tmp_path / "cwd" / "amp" / "data")
    assert load_config().data_dir == str(tmp_path / "cwd" / "data")


def test_directories_that_are_given_are_used_directly(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AMP_CONFIG_MANIFESTS_DIR", "/srv/manifests")
    config = load_config(write('data_dir = "lake"\nproviders_dir = "s3://bucket/providers?region=eu"\n'))
    assert config.data_dir == str(tmp_path / "cwd" / "lake")
    assert config.providers_dir == "s3://bucket/providers?region=eu"
    assert config.manifests_dir == "/srv/manifests"


def test_a_missing_file_is_named_with_how_to_give_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(tmp_path / "none.toml", ErrorCode.CONFIG_NOT_FOUND)
    assert str(tmp_path / "none.toml") in message
    assert "--config" in message
    assert "is not a file" in refusal(tmp_path, ErrorCode.CONFIG_NOT_FOUND)
    monkeypatch.setenv("AMP_CONFIG", "elsewhere.toml")
    assert "named by the environment variable AMP_CONFIG" in refusal(None, ErrorCode.CONFIG_NOT_FOUND)


def test_broken_toml_is_shown_by_line_and_column(write: Write) -> None:
    file = write('data_dir = "x"\n[worker\nslots = 1\n')
    message = refusal(file)
    assert str(file) in message
    assert "line 2, column 8" in message


def test_a_file_that_is_no_text_is_refused(write: Write) -> None:
    file = write("")
    file.write_bytes(b"data_dir = '\xff'")
    assert "not UTF-8" in refusal(file)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("[worker]\nlease_sec = 5", "worker.lease_sec in {file}: unknown key; did you mean worker.lease_secs?"),
        ("data_dri = 'x'", "data_dri in {file}: unknown key; did you mean data_dir?"),
        ("[metadata-db]\nurl = 'hush'", "metadata-db.url in {file}: unknown key; did you mean metadata_db.url?"),
        ("pool_size = 3", "did you mean metadata_db.pool_size?"),
        ("[worker]\nxyz = 1", "known keys: worker.heartbeat_interval_secs, worker.lease_secs"),
        ("[plugins]\n", "plugins in {file}: unknown key"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(write: Write, text: str, suggestion: str) -> None:
    file = write(text)
    assert suggestion.format(file=file) in refusal(file)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("AMP_CONFIG_METADATA_DB__ULR", "AMP_CONFIG_METADATA_DB__URL"),
        ("AMP_CONFIG_WORKER_SLOTS", "AMP_CONFIG_WORKER__SLOTS"),
        ("AMP_CONFIG_DATADIR", "AMP_CONFIG_DATA_DIR"),
    ],
)
def test_an_unknown_variable_is_refused_too(monkeypatch: pytest.MonkeyPatch, name: str, suggestion: str) -> None:
    monkeypatch.setenv(name, "hush")
    assert refusal() == (
        f"the configuration is invalid: environment variable {name}: unknown key; did you mean {suggestion}?"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[worker]\nslots = 0", "worker.slots ({file}): must be greater than 0, found 0"),
        ("[worker]\nslots = 'many'", "worker.slots ({file}): must be a valid integer"),
        ("[worker]\nheartbeat_interval_secs = -1", "worker.heartbeat_interval_secs ({file}): must be greater than 0"),
        ("[worker]\nlease_secs = inf", "worker.lease_secs ({file}): must be a finite number, found inf"),
        ("[worker]\nslots = true", "worker.slots ({file}): must be a number, found True"),
        ("poll_interval_secs = 0", "poll_interval_secs ({file}): must be greater than 0, found 0"),
        ("admin_api_addr = '1610'", "admin_api_addr ({file}): must be host:port"),
        ("admin_api_addr = 'localhost:99999'", "must be host:port"),
        ("admin_api_addr = 'http://localhost:1610'", "must be host:port"),
        ("data_dir = ''", "data_dir ({file}): must be a path or the URL of an object store"),
        ("data_dir = 5", "data_dir ({file}): must be a valid string, found 5"),
        ("[writer]\ncompression = 'brutal'", "writer.compression ({file}): must be one of zstd(1)"),
        ("[writer]\nmax_range_blocks = 1.5", "writer.max_range_blocks ({file}): must be a valid integer"),
        ("[metadata_db]\nauto_migrate = 'maybe'", "metadata_db.auto_migrate ({file}): must be a valid boolean"),
        ("[metadata_db]\nurl = 'mysql://hush@h/d'", "metadata_db.url ({file}): must start with postgresql://"),
        ("[metadata_db]\nurl = 'postgresql://u:hu/hush@h/d'", "percent-encoded"),
        ("metadata_db = 'postgresql://u:hush@h/d'", "metadata_db ({file})"),
        ("[[worker]]\nslots = 1", "worker ({file})"),
        ("[metadata_db]\npool_size = 'postgresql://u:hush@h/d'", "found 'postgresql://***@h/d'"),
    ],
)
def test_a_bad_value_is_shown_with_key_place_expectation_and_finding(write: Write, text: str, said: str) -> None:
    file = write(text)
    assert said.format(file=file) in refusal(file)


def test_a_bad_variable_is_named_even_when_the_file_gives_the_key_too(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMP_CONFIG_WORKER__SLOTS", "many")
    message = refusal(write("[worker]\nslots = 1"))
    assert "worker.slots (AMP_CONFIG_WORKER__SLOTS): must be a valid integer" in message
    assert "found 'many'" in message


def test_a_section_that_is_no_json_object_says_how_to_do_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMP_CONFIG_METADATA_DB", "hush")
    message = refusal()
    assert "AMP_CONFIG_METADATA_DB: must be a JSON object" in message
    assert "AMP_CONFIG_METADATA_DB__URL" in message


def test_a_lease_must_outlive_two_heartbeats(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("[worker]\nheartbeat_interval_secs = 2\nlease_secs = 4\n")
    message = refusal(file)
    assert f"worker ({file}): lease_secs must be more than twice heartbeat_interval_secs" in message
    assert "found lease_secs = 4, heartbeat_interval_secs = 2" in message
    monkeypatch.setenv("AMP_CONFIG_WORKER__LEASE_SECS", "4.5")
    assert load_config(file).worker.lease_secs == 4.5


def test_all_problems_are_said_at_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMP_CONFIG_WORKER__SLOT", "1")
    message = refusal(write("data_dri = 'x'\nadmin_api_addr = 'x'\n[worker]\nslots = 0\nlease_secs = 'long'\n"))
    assert message.count("\n  - ") == 5


def test_keys_of_the_reference_system_are_accepted_and_reported(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMP_CONFIG_OPENTELEMETRY__METRICS_URL", "http://collector:4318")
    config = load_config(
        write(
            'flight_addr = "0.0.0.0:1602"\njsonl_addr = "0.0.0.0:1603"\nmax_mem_mb = 2000\nspill_location = []\n'
            '[metadata_db]\nmin_connections = 2\n[opentelemetry]\nmetrics_url = "http://127.0.0.1"\n'
            '[writer]\ncompression = "snappy"\nbloom_filters = true\n[writer.compactor]\nactive = true\n'
        )
    )
    assert set(config.ignored_keys) == {
        "AMP_CONFIG_OPENTELEMETRY__METRICS_URL",
        "flight_addr",
        "jsonl_addr",
        "max_mem_mb",
        "spill_location",
        "metadata_db.min_connections",
        "opentelemetry.metrics_url",
        "writer.bloom_filters",
        "writer.compactor.active",
    }
    assert config.writer.compression == "snappy"


def test_old_names_count_when_the_new_ones_are_not_given(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(f"metadata_db_url = '{URL}'\n")
    assert load_config(file).require_metadata_db_url() == URL
    monkeypatch.setenv("AMP_CONFIG_METADATA_DB_URL", "postgresql://second/ampd")
    assert load_config(file).require_metadata_db_url() == "postgresql://second/ampd"
    monkeypatch.setenv("AMP_CONFIG_METADATA_DB__URL", "postgresql://first/ampd")
    assert load_config(file).require_metadata_db_url() == "postgresql://first/ampd"


def test_the_database_is_only_required_by_who_asks_for_it() -> None:
    config = load_config()
    with pytest.raises(AmpError) as refused:
        config.require_metadata_db_url()
    assert refused.value.code == ErrorCode.CONFIG_INVALID
    assert refused.value.message == MISSING_METADATA_DB


def test_the_password_is_in_no_repr_of_the_config(write: Write) -> None:
    config = load_config(write(f"[metadata_db]\nurl = '{URL}'\n"))
    assert config.metadata_db.url == URL
    assert "hush" not in repr(config) + str(config) + repr(config.metadata_db)


def test_the_config_cannot_be_changed() -> None:
    config: Config = load_config()
    with pytest.raises(ValueError, match="frozen"):
        config.data_dir = "elsewhere"
    with pytest.raises(ValueError, match="frozen"):
        config.worker.slots = 9


@pytest.mark.parametrize(
    ("text", "compression"),
    [
        ("zstd(1)", Compression("zstd", 1)),
        (" ZSTD(22) ", Compression("zstd", 22)),
        ("gzip(0)", Compression("gzip", 0)),
        ("lz4", Compression("lz4")),
        ("snappy", Compression("snappy")),
        ("uncompressed", Compression("uncompressed")),
    ],
)
def test_compression_words(text: str, compression: Compression) -> None:
    assert parse_compression(text) == compression


@pytest.mark.parametrize("text", ["", "zstd(0)", "zstd(23)", "zstd()", "lz4(1)", "gzip(10)", "brotli", "zstd 1"])
def test_other_compression_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        parse_compression(text)


def test_addresses_are_split_into_host_and_port() -> None:
    assert split_address("0.0.0.0:1610") == ("0.0.0.0", 1610)
    assert split_address("[::1]:0") == ("::1", 0)
    assert split_address("amp-1.internal:65535") == ("amp-1.internal", 65535)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
        ("https://otlp.example.com/tenant/v1/traces", "https://otlp.example.com/tenant/v1/traces"),
    ],
)
def test_a_collector_without_a_path_is_meant_by_the_path_of_the_standard(write: Write, given: str, used: str) -> None:
    assert load_config(write(f'[opentelemetry]\ntrace_url = "{given}"\n')).opentelemetry.trace_url == used


@pytest.mark.parametrize(
    "url", ["127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://me:hush@otlp.example", "http://o/?key=hush"]
)
def test_a_collector_with_a_key_in_its_url_is_refused_and_the_key_not_shown(write: Write, url: str) -> None:
    with pytest.raises(AmpError) as raised:
        load_config(write(f'[opentelemetry]\ntrace_url = "{url}"\n'))
    assert raised.value.code is ErrorCode.CONFIG_INVALID
    assert "opentelemetry.trace_url" in raised.value.message
    assert "hush" not in raised.value.message


def test_every_key_can_be_given_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"url": URL, "auto_migrate": "false", "compression": "gzip", "admin_api_addr": "[::]:1"}
    words |= {"endpoint": "https://x", "path_style": "false", "allow_http": "true", "compaction": "false"}
    words |= {"dashboard": "false"}
    words |= {
        "allowed_networks": "10.0.0.0/8,fd00::/8",
        "cors_origins": "https://a.example.com,https://b.example.com:8443",
    }
    words |= {"tls_cert_file": "/tls.pem", "tls_key_file": "/tls.key", "tls_ca_file": "/ca.pem", "tls_enabled": "true"}
    words |= {"enabled": "true", "brokers": "kafka-1:9092,kafka-2:9092", "sasl_mechanism": "PLAIN"}
    words |= {"metrics_addr": "127.0.0.1:9100", "trace_url": "http://127.0.0.1:4318/v1/traces", "trace_ratio": "0.5"}
    numbers = {"heartbeat_interval_secs": "3"}
    given: dict[tuple[str, ...], str] = {}
    for key in KEYS:
        given[key] = "/x" if key[-1].endswith("_dir") else words.get(key[-1], numbers.get(key[-1], "7"))
        monkeypatch.setenv("AMP_CONFIG_" + "__".join(key).upper(), given[key])
    config = load_config()
    for key, text in given.items():
        value = reduce(getattr, key, config)
        value = ",".join(value) if isinstance(value, tuple) else value
        shown = f"{value:g}" if isinstance(value, float) else str(value).lower()
        assert shown == text.lower(), key


@pytest.mark.parametrize(
    "text", ['["10.0.0.0/8", "127.0.0.0/8"]', "10.0.0.0/8, 127.0.0.0/8", "10.0.0.0/8,127.0.0.0/8,"]
)
def test_a_list_can_be_given_by_environment_with_commas_or_as_json(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AMP_CONFIG_WEBHOOKS__ALLOWED_NETWORKS", text)
    assert load_config().webhooks.allowed_networks == ("10.0.0.0/8", "127.0.0.0/8")


@pytest.mark.parametrize(
    "text", ["*", "https://a.example.com/", "a.example.com", "https://*", "https://u:p@a.example.com"]
)
def test_what_is_no_origin_of_a_web_page_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AMP_CONFIG_ADMIN_API__CORS_ORIGINS", text)
    with pytest.raises(AmpError, match=r"admin_api\.cors_origins"):
        load_config()


def test_a_certificate_without_its_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMP_CONFIG_ADMIN_API__TLS_CERT_FILE", "/tls.pem")
    with pytest.raises(AmpError, match="belong together"):
        load_config()


@pytest.mark.parametrize("text", ["everything", "10.1.2.3/8", "[1", "[1]", "10.0.0.0/8 127.0.0.0/8"])
def test_what_is_no_network_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AMP_CONFIG_WEBHOOKS__ALLOWED_NETWORKS", text)
    with pytest.raises(AmpError, match=r"webhooks\.allowed_networks"):
        load_config()


def test_networks_can_be_given_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[webhooks]\nallowed_networks = ["127.0.0.0/8"]\n')
    assert load_config(file).webhooks.allowed_networks == ("127.0.0.0/8",)


EVENTS = "[worker_events]\nenabled = true\n[worker_events.kafka]\n"


def test_worker_events_are_off_and_kept_for_a_day_unless_told_otherwise() -> None:
    events = load_config().worker_events
    assert (events.enabled, events.log_hours, events.recorded) == (False, 24.0, True)
    assert (events.kafka.topic, events.kafka.partitions) == ("amp.worker.events", 16)


def test_with_no_log_and_no_broker_no_events_are_recorded(write: Write) -> None:
    none = "[worker_events]\nlog_hours = 0\n"
    assert not load_config(write(none)).worker_events.recorded
    assert load_config(write(f"{none}enabled = true\nkafka.brokers = ['k:1']\n")).worker_events.recorded


def test_the_settings_of_the_reference_system_for_worker_events_have_effect(write: Write) -> None:
    config = load_config(
        write("[worker_events]\nenabled = true\nprogress_interval = 3\n[worker_events.kafka]\nbrokers = ['k:9092']\n")
    )
    assert config.worker_events.progress_interval_secs == 3.0
    assert config.worker_events.kafka.brokers == ("k:9092",)
    assert config.ignored_keys == ()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[worker_events]\nenabled = true\n", "needs kafka.brokers"),
        (EVENTS + "brokers = ['kafka']\n", "each with its port"),
        (EVENTS + "brokers = ['k:1']\nsasl_mechanism = 'PLAIN'\n", "belong together"),
        (EVENTS + "brokers = ['k:1']\nsasl_mechanism = 'GSSAPI'\n", "'PLAIN', 'SCRAM-SHA-256' or 'SCRAM-SHA-512'"),
        (EVENTS + "brokers = ['k:1']\ntls_ca_file = '/ca.pem'\n", "only with tls_enabled"),
        (EVENTS + "brokers = ['k:1']\npartitions = 0\n", "partitions"),
        (EVENTS + "brokers = ['k:1']\ntopic = 'a topic'\n", "the name of a topic"),
        ("[worker_events]\nlog_hours = -1\n", "log_hours"),
    ],
)
def test_settings_of_worker_events_that_cannot_work_are_refused(write: Write, text: str, what: str) -> None:
    assert what in refusal(write(text))


def test_no_message_and_no_picture_of_the_configuration_shows_the_password_for_kafka(write: Write) -> None:
    text = EVENTS + "brokers = ['k:1']\nsasl_mechanism = 'PLAIN'\nsasl_username = 'me'\n"
    assert "hunter2" not in repr(load_config(write(text + "sasl_password = 'hunter2'\n")))
    assert "hunter2" not in refusal(write(text + "sasl_password = ['hunter2']\n"))
