"""The configuration: values from text, precedence, unknown keys, secrets, streams."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.config import (
    HIDDEN,
    KEYS,
    Settings,
    default_streams,
    load,
    shown,
    without_secrets,
)
from gbe.durations import parse_duration
from gbe.errors import ConfigError
from gbe.notify.config import NotifyConfig
from gbe.sizes import parse_size

BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)
"""A few hundred bytes that stand for ten million values."""


def settings(text: str, tmp_path: Path, flags: dict[str, object] | None = None, **environment: str) -> Settings:
    file = tmp_path / "gbe.yaml"
    file.write_text(text)
    return load(file, environment=environment, flags=flags)


def refusal(text: str, tmp_path: Path, **environment: str) -> str:
    with pytest.raises(ConfigError) as refused:
        settings(text, tmp_path, **environment)
    return str(refused.value)


class TestValues:
    """What a value may look like."""

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            (30, 30.0), (0.5, 0.5), ("30", 30.0), ("500ms", 0.5), ("30s", 30.0), ("2m", 120.0), ("1h30m", 5400.0),
            ("1h 30m", 5400.0), ("1 h", 3600.0), ("7d", 604_800.0), ("1w", 604_800.0),
            ("1.5h", 5400.0), (" 5S ", 5.0), ("0", 0.0),
        ],
    )  # fmt: skip
    def test_durations(self, text: object, seconds: float) -> None:
        assert parse_duration(text) == seconds

    @pytest.mark.parametrize(
        "text", ["", "soon", "1x", "h", "1h30", "1 2", "-", True, None, [1], "1h-30m", "1 2s", "nan", "inf"]
    )
    def test_what_is_no_duration(self, text: object) -> None:
        with pytest.raises(ValueError, match="a duration"):
            parse_duration(text)

    @pytest.mark.parametrize("text", ["nan", "inf", "-5s", "-1", "1e400"])
    def test_durations_that_make_no_sense_are_refused_somewhere(self, text: str, tmp_path: Path) -> None:
        """By the value's form or by the range of its key, but never taken."""
        assert "keepalive_interval" in refusal(f"notify: {{keepalive_interval: '{text}'}}", tmp_path)

    @pytest.mark.parametrize(
        ("text", "size"),
        [
            (4096, 4096), ("4096", 4096), ("4k", 4096), ("4K", 4096), ("4KB", 4096), ("4KiB", 4096), ("1M", 1024**2),
            ("1 MiB", 1024**2), ("1.5G", 1536 * 1024**2), ("2T", 2 * 1024**4), ("10b", 10),
        ],
    )  # fmt: skip
    def test_sizes(self, text: object, size: int) -> None:
        assert parse_size(text) == size

    @pytest.mark.parametrize("text", ["", "big", "-1", "1x", "1 2", True, None, "k"])
    def test_what_is_no_size(self, text: object) -> None:
        with pytest.raises(ValueError, match="a size"):
            parse_size(text)

    @pytest.mark.parametrize(("text", "expected"), [("yes", True), ("on", True), ("0", False), ("No", False)])
    def test_booleans(self, text: str, expected: bool, tmp_path: Path) -> None:
        assert settings("", tmp_path, GBE_HTTP_METRICS=text).http.metrics is expected
        assert settings(f"http: {{metrics: {text}}}", tmp_path).http.metrics is expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("[a, b]", ("a", "b")), ("a, b,,", ("a", "b")), ("[]", ()), ("[1]", ("1",))],
    )
    def test_lists(self, text: str, expected: tuple[str, ...], tmp_path: Path) -> None:
        quoted = text if text.startswith("[") else f"'{text}'"
        assert settings(f"notify: {{disallowed_topics: {quoted}}}", tmp_path).notify.disallowed_topics == expected

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("workers: true", "workers is True; expected a whole number"),
            ("workers: 1.5", "workers is 1.5; expected a whole number"),
            ("http: {metrics: maybe}", "http.metrics is 'maybe'; expected true or false"),
            ("http: {backlog: x}", "http.backlog is 'x'; expected a whole number"),
            ("http: {header_timeout: long}", "http.header_timeout is 'long'; expected a duration"),
            ("http: {max_header_bytes: 1}", "http.max_header_bytes is 1; accepted: 1024 to 1048576 bytes"),
            ("namespace: a.b", "namespace is 'a.b'; expected letters"),
            ("listen: localhost", "listen is 'localhost'; expected ADDRESS:PORT"),
            ("listen: '127.0.0.1:99999'", "expected ADDRESS:PORT"),
            ("transport: [x]", "transport is ['x']; expected text"),
            ("transport: ftp://x", "transport is 'ftp://x'; expected embedded, memory, nats://HOST:PORT or"),
            ("{workers: 2, transport: memory}", "workers is more than 1, but transport is memory"),
            ("log: {level: loud}", "log.level is 'loud'"),
            ("notify: {base_url: 'ftp://x'}", "base_url"),
            ("nats: {tls_key: key.pem}", "tls_key is set without tls_cert"),
            ("just text", "expected keys and values at the top"),
            ("a: [", "is not YAML: line 1: expected the node content"),
            ("tasks:\n  a: {\n  b: {}\n", "is not YAML: line 4: expected ',' or '}'"),
            ("tasks:\n\ta: 1", "is not YAML: line 2: found character '\\t'"),
            ("a: \x01", "is not YAML: unacceptable character #x0001"),
            (f"a: {'[' * 2000}{']' * 2000}", "nested too deeply"),
            ("a: &a [*a]", "an alias within itself"),
            (BOMB, "its aliases stand for more than 1000000 values"),
            ("tasks: {x: {http: 'http://[::1'}}", "http: expected an address"),
            ("tasks: {x: {http: 'http:///path'}}", "http: expected an address"),
        ],
    )
    def test_refusals_name_key_and_value(self, text: str, said: str, tmp_path: Path) -> None:
        assert said in refusal(text, tmp_path)


class TestSources:
    """The file, then the environment, then flags; later wins."""

    def test_nothing_given(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        found = load(environment={})
        assert (found.host, found.port, found.transport_kind) == ("127.0.0.1", 8080, "embedded")
        assert found.data_dir == Path("gbe-data")
        assert found.notify == NotifyConfig()

    def test_later_wins(self, tmp_path: Path) -> None:
        text = "workers: 2\nlisten: 127.0.0.1:1\nnamespace: file"
        assert settings(text, tmp_path).workers == 2
        assert settings(text, tmp_path, GBE_WORKERS="3").workers == 3
        found = settings(text, tmp_path, {"workers": 4, "listen": None}, GBE_WORKERS="3", GBE_LISTEN="127.0.0.1:2")
        assert (found.workers, found.port, found.namespace) == (4, 2, "file")

    def test_the_file_that_is_there_by_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("gbe.yaml").write_text("workers: 7")
        assert load(environment={}).workers == 7

    @pytest.mark.parametrize("text", ["", "# only a comment", "notify:", "notify: {}"])
    def test_empty_files_and_sections(self, text: str, tmp_path: Path) -> None:
        assert settings(text, tmp_path).notify == NotifyConfig()

    def test_a_key_without_a_value_is_not_given(self, tmp_path: Path) -> None:
        found = settings("workers:\nnats: {user: , password: null}\nstreams:\nembedded: {max_file: ~}", tmp_path)
        assert found == settings("", tmp_path)

    def test_dashes_are_underscores(self, tmp_path: Path) -> None:
        assert settings("data-dir: x\nnotify: {cache-duration: 1h}", tmp_path).notify.cache_duration == 3600

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"there is no file .*missing\.yaml"):
            load(tmp_path / "missing.yaml", environment={})

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        file = tmp_path / "gbe.yaml"
        file.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ConfigError, match="cannot be read"):
            load(file, environment={})
        with pytest.raises(ConfigError, match="cannot be read"):
            load(tmp_path, environment={})

    @pytest.mark.parametrize(
        ("text", "nearest"),
        [
            ("worker: 2", "workers"),
            ("notify: {keepalive: 30s}", "notify.keepalive_interval"),
            ("notfy: {cache_duration: 1h}", "notify"),
            ("http: {max_headers_bytes: 1}", "http.max_header_bytes"),
        ],
    )
    def test_unknown_keys_suggest_the_nearest(self, text: str, nearest: str, tmp_path: Path) -> None:
        said = refusal(text, tmp_path)
        assert "unknown key" in said
        assert nearest in said or "gbe config show" in said

    def test_unknown_variables_too(self, tmp_path: Path) -> None:
        assert "unknown variable GBE_WORKER; did you mean GBE_WORKERS?" in refusal("", tmp_path, GBE_WORKER="2")
        settings("", tmp_path, OTHER="2", gbe_workers="x")

    def test_the_source_is_named(self, tmp_path: Path) -> None:
        assert refusal("workers: x", tmp_path).startswith(str(tmp_path / "gbe.yaml"))
        assert refusal("", tmp_path, GBE_WORKERS="x").startswith("GBE_WORKERS: workers is 'x'")
        with pytest.raises(ConfigError, match=r"^--data-dir|^--workers"):
            load(tmp_path / "gbe.yaml", environment={}, flags={"workers": "x"})

    @pytest.mark.parametrize("key", [key for key in KEYS if key.default is not None], ids=lambda key: key.name)
    def test_every_default_can_be_written_down(self, key: Any, tmp_path: Path) -> None:
        """A key set to its own default, as the environment has it, changes nothing."""
        default = key.default
        text = ",".join(default) if isinstance(default, tuple) else str(default)
        plain = load(tmp_path_file(tmp_path), environment={})
        assert load(tmp_path_file(tmp_path), environment={key.variable: text}) == plain
        assert key.meaning.endswith(".")


def tmp_path_file(tmp_path: Path) -> Path:
    file = tmp_path / "empty.yaml"
    file.touch()
    return file


class TestSecrets:
    """Never shown, whatever goes wrong."""

    def test_shown(self, tmp_path: Path) -> None:
        text = "transport: 'nats://ann:pw1@one:4222,nats://bob:pw2@two:4222'\nnats: {password: pw3, token: pw4}"
        found = settings(text, tmp_path)
        visible = shown(found)
        assert visible["nats.password"] == visible["nats.token"] == HIDDEN
        assert visible["transport"] == f"nats://{HIDDEN}@one:4222,nats://{HIDDEN}@two:4222"
        assert "pw" not in str(visible)
        assert set(visible) == {key.name for key in KEYS}

    def test_what_is_not_set_is_not_hidden(self, tmp_path: Path) -> None:
        assert shown(settings("", tmp_path))["nats.password"] is None

    def test_errors(self, tmp_path: Path) -> None:
        assert "pw" not in refusal("nats: {password: [pw]}", tmp_path)
        assert "pw" not in refusal("transport: 'ftp://ann:pw@host'", tmp_path)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("nats://host:4222", "nats://host:4222"),
            ("nats://user:p@host", f"nats://{HIDDEN}@host"),
            ("tls://token@host/x", f"tls://{HIDDEN}@host/x"),
            ("redis://host:6379/2", "redis://host:6379/2"),
            ("redis://user:p@host", f"redis://{HIDDEN}@host"),
            ("rediss://:p@host", f"rediss://{HIDDEN}@host"),
            ("redis+cluster://user:p@a:1,b:2", f"redis+cluster://{HIDDEN}@a:1,b:2"),
            ("rediss+cluster://user:p,q@r/s@a,b", f"rediss+cluster://{HIDDEN}@a,b"),
            ("embedded", "embedded"),
        ],
    )
    def test_in_urls(self, text: str, expected: str) -> None:
        assert without_secrets(text) == expected

    @given(
        st.sampled_from(["redis", "rediss", "redis+cluster", "rediss+cluster"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    )
    def test_whatever_a_password_holds(self, scheme: str, before: str, behind: str) -> None:
        text = without_secrets(f"{scheme}://ann:{before}hunter2{behind}@one:1,two:2")
        assert text == f"{scheme}://{HIDDEN}@one:1,two:2"


class TestStreams:
    """One per retention class; the file changes them and adds others."""

    def test_the_default_ones(self) -> None:
        streams = {stream.name: stream for stream in default_streams("ns", NotifyConfig())}
        assert streams["ns-notify-topic"].subjects == ("ns.notify.topic.*",)
        assert streams["ns-notify-topic"].max_age == 72 * 3600
        assert streams["ns-deadletter"].subjects == ("ns._deadletter.*",)

    def test_topics_are_kept_as_long_as_notify_says(self, tmp_path: Path) -> None:
        streams = {s.name: s for s in settings("notify: {cache_duration: 12h}", tmp_path).streams}
        assert streams["gbe-notify-topic"].max_age == 12 * 3600
        streams = {s.name: s for s in settings("notify: {cache_duration: 0}", tmp_path).streams}
        assert streams["gbe-notify-topic"].max_age == 60

    def test_changing_and_adding(self, tmp_path: Path) -> None:
        text = """
            namespace: prod
            streams:
              - {name: tasks, max-age: 2d, max_bytes: 1G, storage: memory}
              - {name: sensors, subjects: ["sensors.>"], max_age: 1h, max_msgs: 5, replicas: 3}
        """
        streams = {s.name: s for s in settings(text, tmp_path).streams}
        tasks, sensors = streams["prod-tasks"], streams["prod-sensors"]
        assert (tasks.max_age, tasks.max_bytes, tasks.storage) == (172_800, 1024**3, "memory")
        assert tasks.subjects == ("prod.tasks.>", "prod.jobs.>")
        assert (sensors.subjects, sensors.max_age, sensors.max_msgs) == (("prod.sensors.>",), 3600, 5)
        assert (sensors.replicas, len(streams)) == (3, len(default_streams("prod", NotifyConfig())) + 1)

    @pytest.mark.parametrize(
        ("streams", "said"),
        [
            ("{name: x}", "expected a list"),
            ("[x]", "expected a list"),
            ("[{max_age: 1h}]", "an entry has no name"),
            ("[{name: new}]", "stream new: subjects is missing"),
            ("[{name: tasks, max_ages: 1h}]", "unknown key max_ages; did you mean max_age?"),
            ("[{name: tasks, max_age: 0}]", "max_age is 0"),
            ("[{name: tasks, max_age: soon}]", "streams.max_age is 'soon'; expected a duration"),
            ("[{name: tasks, replicas: 9}]", "replicas is 9; expected 1 to 5"),
            ("[{name: 'a b', subjects: [x]}]", "stream name 'gbe-a b'"),
            ("[{name: x, subjects: ['a..b']}]", "stream x: invalid subject"),
            ("[{name: tasks, storage: tape}]", "storage"),
        ],
    )
    def test_refusals(self, streams: str, said: str, tmp_path: Path) -> None:
        assert said in refusal(f"streams: {streams}", tmp_path)


class TestSchedules:
    """What the file says of schedules."""

    def test_moments_and_keys_are_kept_as_they_are_stored(self, tmp_path: Path) -> None:
        text = """
            schedules:
              party: {task: dance, at: 2026-12-24 18:00:00, tz: Europe/Berlin}
              tidy: {task: sweep, every: 1h, catch-up: all}
        """
        assert settings(text, tmp_path).schedules == {
            "party": {"task": "dance", "at": "2026-12-24T18:00:00", "tz": "Europe/Berlin"},
            "tidy": {"task": "sweep", "every": "1h", "catch_up": "all"},
        }

    @pytest.mark.parametrize(
        ("schedules", "said"),
        [
            ("[x]", "schedules: expected schedules by name"),
            ("{x: 5}", "gbe.yaml: schedules.x: expected settings"),
            ("{x: {task: t, cron: '61 * * * *'}}", "gbe.yaml: schedules.x.cron: '61 * * * *'; expected minute hour"),
            ("{x: {task: t, cron: '@daily', tz: Berlin}}", "gbe.yaml: schedules.x.tz: 'Berlin'; expected an IANA"),
            ("{x: {task: t, evry: 5m}}", "gbe.yaml: schedules.x.evry: unknown key; did you mean every?"),
            ("{x: {cron: '@daily'}}", "gbe.yaml: schedules.x.task: name what is started"),
            ("{'a.b': {task: t}}", "schedules.a.b.name: expected at most 64 letters"),
        ],
    )
    def test_refusals(self, schedules: str, said: str, tmp_path: Path) -> None:
        assert said in refusal(f"schedules: {schedules}", tmp_path)

    def test_the_grace_covers_a_failover(self, tmp_path: Path) -> None:
        assert "scheduler.grace is 10 s; expected at least 18 s" in refusal("scheduler: {grace: 10s}", tmp_path)


class TestTransport:
    """Which back end the text names."""

    @pytest.mark.parametrize(
        ("text", "kind"),
        [("embedded", "embedded"), ("memory", "memory"), ("nats://h:4222", "nats"), ("tls://a,tls://b", "nats")],
    )
    def test_kinds(self, text: str, kind: str, tmp_path: Path) -> None:
        assert settings(f"transport: {text}", tmp_path).transport_kind == kind

    def test_connection_settings(self, tmp_path: Path) -> None:
        found = settings("transport: 'nats://a:1,nats://b:2'\nnats: {user: ann, ping_interval: 3s}", tmp_path)
        config = found.nats_config()
        assert (config.urls, config.user, config.ping_interval) == (("nats://a:1", "nats://b:2"), "ann", 3.0)
        assert found.nats_config(urls=("nats://c:3",)).urls == ("nats://c:3",)

    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("0.0.0.0:80", ("0.0.0.0", 80)),
            (":8080", ("0.0.0.0", 8080)),
            ("[::1]:8080", ("::1", 8080)),
            ("localhost:0", ("localhost", 0)),
        ],
    )
    def test_addresses(self, text: str, address: tuple[str, int], tmp_path: Path) -> None:
        found = settings(f"listen: '{text}'", tmp_path)
        assert (found.host, found.port) == address


class TestStateAndObjects:
    """Where records and objects lie."""

    def test_they_follow_the_transport_and_the_data_directory(self, tmp_path: Path) -> None:
        found = settings("data_dir: /var/lib/gbe", tmp_path)
        assert (found.state_kind, found.state_engine, found.state_replicas) == ("embedded", "embedded", 1)
        assert found.objects.folder == Path("/var/lib/gbe/objects")
        found = settings("transport: redis+cluster://a,b", tmp_path)
        assert (found.state_kind, found.state_engine) == ("redis", "redis+cluster://a,b")

    def test_they_can_lie_elsewhere(self, tmp_path: Path) -> None:
        text = (
            "state: {engine: 'nats://a,nats://b', replicas: 3, bucket: jobs}\nobjects: {url: s3://b/p, threshold: 1K}"
        )
        found = settings(text, tmp_path)
        assert (found.transport_kind, found.state_kind) == ("embedded", "nats")
        assert (found.state_replicas, found.state.bucket) == (3, "jobs")
        assert (found.objects.kind, found.objects.threshold) == ("s3", 1024)

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ("state: {engine: kafka://a}", "state.engine"),
            ("state: {engine: 'nats://u:hunter2@a,amqp://b'}", "state.engine"),
            ("state: {replicas: 6}", "state.replicas"),
            ("state: {bucket: a.b}", "state.bucket"),
            ("state: {max_record_size: 1G}", "state.max_record_size"),
            ("state: {buckets: a}", "state.bucket"),
            ("objects: {url: ftp://a}", "objects.url"),
            ("objects: {threshold: 1G}", "objects.threshold"),
            ("objects: {url: s3://a, access_key_id: a}", "access_key_id"),
        ],
    )
    def test_what_makes_no_sense_names_its_key(self, text: str, key: str, tmp_path: Path) -> None:
        refused = refusal(text, tmp_path)
        assert key in refused
        assert "hunter2" not in refused

    def test_secrets_are_not_shown(self, tmp_path: Path) -> None:
        text = "objects: {url: s3://a, access_key_id: AK, secret_access_key: hunter2, session_token: hunter3}"
        found = settings(text, tmp_path)
        assert "hunter" not in str(shown(found)) + repr(found.objects)
        assert shown(found)["objects.secret_access_key"] == HIDDEN


def test_a_name_that_is_there_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    """YAML readers let the last one win, silently."""
    file = tmp_path / "gbe.yaml"
    file.write_text("listen: 127.0.0.1:1\nnotify:\n  cache_duration: 1h\n  cache_duration: 2h\n")
    with pytest.raises(ConfigError, match=r"gbe\.yaml, line 4: cache_duration is there twice"):
        load(file, environment={})
