"""The settings: what is read, what is refused, and how a wrong one is named."""

from __future__ import annotations

import os
import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from aparte import config, errors
from aparte.config import Settings

PLACES = {"APARTE_DATA": "data", "APARTE_KEYRING": "ring/keyring.db", "APARTE_ROOT_KEY": "key/root.key"}
PROXIED = {"APARTE_PUBLIC_URL": "https://chat.example.org", "APARTE_TRUSTED_PROXIES": "127.0.0.1"}
KEY = "9f" * 32


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(**environ: str) -> Settings:
    return config.load(None, PLACES | {f"APARTE_{name.upper()}": value for name, value in environ.items()})


def wrong(text: str = "", environ: dict[str, str] | None = None) -> list[str]:
    """The problems that `load` names, a line each, for a file and an environment."""
    file = Path("given.toml")
    file.write_text(text, "utf-8")
    with pytest.raises(errors.BadSetting) as caught:
        config.load(file, PLACES if environ is None else environ)
    lines = [line.strip() for line in str(caught.value).splitlines()]
    if len(lines) > 1:
        assert lines[0] == f"{len(lines) - 1} settings are wrong:"
    return lines[1:] or lines


def secret(mode: int = 0o400, content: bytes = b"s3cret\n") -> Path:
    path = Path("smtp.secret").absolute()
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_it_takes_the_defaults_of_every_setting_that_has_one() -> None:
    settings = load()
    for field in fields(Settings):
        if field.default is not MISSING:
            assert getattr(settings, field.name) == field.default


def test_it_is_reachable_from_this_machine_only_unless_told_otherwise() -> None:
    assert config.is_loopback(load().host)
    assert load().addressed() == ("http://127.0.0.1:8080", "http://127.0.0.1:8080")


def test_it_lays_the_environment_over_the_file() -> None:
    file = Path("aparte.toml")
    file.write_text('port = 9000\nsmtp_timeout_seconds = 5\nlog_level = "error"\n')
    settings = config.load(None, PLACES | {"APARTE_PORT": "9100"})
    assert (settings.port, settings.smtp_timeout_seconds, settings.log_level) == (9100, 5.0, "error")


def test_it_takes_the_file_that_the_environment_names() -> None:
    Path("aparte.toml").write_text("port = 9000\n")
    Path("other.toml").write_text("port = 9001\n")
    assert config.load(None, PLACES | {"APARTE_CONFIG": "other.toml"}).port == 9001


def test_it_reads_a_relative_path_from_where_it_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "a.toml").write_text('data = "d"\nkeyring = "r/k.db"\n')
    settings = config.load(folder / "a.toml", {"APARTE_ROOT_KEY": "key/root.key"})
    assert settings.data == folder / "d"
    assert settings.root_key == tmp_path / "key/root.key"


def test_it_splits_a_list_in_the_environment_at_commas() -> None:
    settings = load(public_url="https://chat.example.org", trusted_proxies="10.0.0.2, 10.1.0.0/24,")
    assert settings.trusted_proxies == ("10.0.0.2", "10.1.0.0/24")


def test_it_names_every_problem_at_once() -> None:
    assert wrong('port = 99999\ncolour = "red"\nlog_level = "loud"\nhello_seconds = "five"\n') == [
        "colour: no such setting; see docs/OPERATIONS.md for all of them",
        "port = 99999: give a number from 0 to 65535",
        "hello_seconds = five: give a number from 1 to 30",
        "log_level = loud: give one of debug, info, warning, error",
    ]


def test_it_names_the_three_places_when_they_are_not_set() -> None:
    lines = wrong("", {})
    assert [line.split(":")[0] for line in lines] == ["data", "keyring", "root_key"]
    assert "APARTE_KEYRING" in lines[1]


def test_it_guesses_what_a_misspelt_setting_was_meant_to_be() -> None:
    assert wrong("prot = 1\n") == ["prot: no such setting; did you mean port?"]
    assert wrong("", PLACES | {"APARTE_PROT": "1"}) == ["APARTE_PROT: no such setting; did you mean APARTE_PORT?"]


@pytest.mark.parametrize("name", sorted(config.ranges()))
def test_it_holds_every_number_to_its_range(name: str) -> None:
    low, high = config.ranges()[name]
    for value in (low - 1, high + 1, float("nan"), float("inf"), 10**30):
        lines = wrong(f"{name} = {value}\n")
        assert any(line.startswith(f"{name} = ") and ": give a" in line for line in lines), (value, lines)
    default = next(field.default for field in fields(Settings) if field.name == name)
    assert low <= default <= high  # type: ignore[operator]  # a number's default is a number


def test_it_gives_a_range_to_every_number() -> None:
    numbers = {field.name for field in fields(Settings) if isinstance(field.default, int | float)}
    assert numbers == set(config.ranges())


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("port = true", "port = true: give a whole number from 0 to 65535"),
        ("port = 80.5", "port = 80.5: give a whole number from 0 to 65535"),
        ('port = "80"', "port = 80: give a whole number from 0 to 65535"),
        ("port = [80]", "port = [80]: give a whole number from 0 to 65535"),
        ("port = 0x" + "f" * 9000, "port = (a huge number): give a number from 0 to 65535"),
        (
            "smtp_timeout_seconds = 0x" + "f" * 9000,
            "smtp_timeout_seconds = (a huge number): give a number from 1 to 120",
        ),
        ("host = 1", "host = 1: give a text in quotes"),
        ('host = "a\\u0000b"', "host = a?b: give printable characters only"),
        ('data = ""', "data = : give a path"),
        ('data = "~/x"', "data = ~/x: ~ is not expanded here: write the whole path"),
        ("trusted_proxies = [1]", 'trusted_proxies = [1]: give a list of texts, e.g. ["10.0.0.2"]'),
        ('trusted_proxies = "10.0.0.2"', 'trusted_proxies = 10.0.0.2: give a list of texts, e.g. ["10.0.0.2"]'),
    ],
)
def test_it_names_a_wrong_type_with_its_fix(line: str, fix: str) -> None:
    name = line.split(" ", maxsplit=1)[0]
    environ = {variable: value for variable, value in PLACES.items() if variable != f"APARTE_{name.upper()}"}
    assert wrong(line + "\n", environ) == [fix]


@pytest.mark.parametrize("value", ["", "x", "8 0", "0x50", "1e-3", "\udcff", "٨٠", "9" * 5000])
def test_it_refuses_a_number_in_the_environment_that_is_none(value: str) -> None:
    lines = wrong("", PLACES | {"APARTE_PORT": value})
    assert len(lines) == 1
    assert lines[0].endswith("from 0 to 65535")


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"port = \n", "not TOML"),
        (b"port = 1\nport = 2\n", "not TOML: .*given twice: keep one"),
        (b"host = localhost\n", "not TOML: .*a text stands in quotes"),
        (b"a = " + b"[" * 50_000, "nested too deep"),
        (b"port = " + b"9" * 5_000, "not TOML"),
        (b"#" * (2 << 20), "too long"),
        (("#" + "é" * (600 << 10)).encode(), "too long"),
    ],
)
def test_it_refuses_a_file_that_is_no_settings_file(content: bytes, fix: str) -> None:
    """The file alone is what is wrong, though it names no place and the environment none either."""
    file = Path("odd.toml")
    file.write_bytes(content)
    with pytest.raises(errors.BadSetting, match=rf"^odd\.toml: {fix}") as caught:
        config.load(file, {"APARTE_PORT": "-1"})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("path", ["absent.toml", "."])
def test_it_names_a_settings_file_that_cannot_be_read(path: str) -> None:
    with pytest.raises(errors.BadSetting, match=rf"^{re.escape(path)}: .*give a file that can be read"):
        config.load(Path(path), {})


# Secrets.


@pytest.mark.parametrize("name", ["smtp_password", "secret_key", "api_token", "passphrase"])
def test_it_never_takes_nor_repeats_a_secret_as_a_value(name: str) -> None:
    for lines in (wrong(f'{name} = "hunter2"\n'), wrong("", PLACES | {f"APARTE_{name.upper()}": "hunter2"})):
        assert len(lines) == 1
        assert "is kept in a file" in lines[0]
        assert "hunter2" not in lines[0]


@pytest.mark.parametrize("key", [KEY, "Zm9v" * 10 + "Zm8=", "Zm9v" * 10 + "Zm8"])
def test_it_does_not_repeat_a_key_that_stands_where_a_path_belongs(key: str) -> None:
    lines = wrong("", PLACES | {"APARTE_ROOT_KEY": key})
    assert len(lines) == 1
    assert "looks like a secret itself" in lines[0]
    assert key[:8] not in lines[0]


def test_it_does_not_repeat_a_password_in_an_address() -> None:
    lines = wrong('public_url = "https://me:hunter2@chat.example.org"\ntrusted_proxies = ["127.0.0.1"]\n')
    assert lines == ["public_url = (not shown): give scheme and host only: https://chat.example.org"]


@pytest.mark.parametrize(
    ("mode", "content", "fix"),
    [
        (0o440, b"x", "others may read it (mode 0440): run chmod 0400"),
        (0o604, b"x", "others may read it (mode 0604): run chmod 0400"),
        (0o400, b"", "holds 0 bytes"),
        (0o400, b"x" * 5000, "holds 5000 bytes"),
        (0o400, b"\xff", "not UTF-8"),
    ],
)
def test_it_refuses_a_secret_file_that_is_open_to_others_or_holds_no_secret(
    mode: int, content: bytes, fix: str
) -> None:
    path = secret(mode, content)
    lines = wrong(f'smtp_user = "u"\nsmtp_password_file = "{path}"\n')
    assert len(lines) == 1
    assert fix in lines[0]
    with pytest.raises(errors.BadSetting):
        config.read_secret(path)


def test_it_reads_a_secret_without_its_line_end() -> None:
    path = secret()
    settings = load(
        smtp_host="mail.example.org", smtp_user="u", smtp_password_file=str(path), mail_from="a@example.org"
    )
    assert settings.smtp_password_file == path
    assert config.read_secret(path) == "s3cret"


def test_it_names_a_secret_file_that_is_absent() -> None:
    assert "No such file" in wrong('smtp_user = "u"\nsmtp_password_file = "nowhere"\n')[0]


@pytest.mark.parametrize(
    ("mode", "content", "fix"),
    [
        (0o444, b"t" * 64, "others may read it (mode 0444): run chmod 0400"),
        (0o400, b"t" * 31, "too easy to guess: write 32 letters and digits or more"),
        (0o400, b"two words of which neither is long enough", "too easy to guess"),
        (0o400, b"t" * 64 + b"\nanother line", "too easy to guess"),
        (0o400, "é".encode() * 40, "too easy to guess"),
        (0o400, b"t" * 513, "too easy to guess"),
    ],
)
def test_it_refuses_a_token_that_is_weak_or_open_to_others(mode: int, content: bytes, fix: str) -> None:
    path = secret(mode, content)
    (line,) = wrong(f'metrics_token_file = "{path}"\n')
    assert line.startswith(f"metrics_token_file = {path}: {fix}")
    assert "tttt" not in line


def test_it_takes_a_token_of_32_characters() -> None:
    path = secret(0o400, b"0123456789abcdef0123456789abcdef\n")
    assert load(metrics_token_file=str(path)).metrics_token_file == path
    assert load().metrics_token_file is None


def test_a_node_has_the_hosts_name_unless_it_is_given_one() -> None:
    assert load().node_name() == os.uname().nodename
    assert load(node="chat-1").node_name() == "chat-1"


# Contradictions.


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "chat.example.org"])
def test_it_refuses_plain_http_beyond_this_machine(host: str) -> None:
    lines = wrong(f'host = "{host}"\n')
    assert [line.split(":")[0] for line in lines] == ["public_url", f"host = {host}".split(":")[0]]
    assert "plain HTTP beyond this machine is refused" in lines[1]


def test_it_serves_beyond_this_machine_behind_a_named_proxy() -> None:
    settings = config.load(None, PLACES | PROXIED | {"APARTE_HOST": "0.0.0.0"})
    assert settings.addressed()[0] == "https://chat.example.org"


@pytest.mark.parametrize(
    ("host", "url", "fix"),
    [
        ("127.0.0.1", "http://chat.example.org", "plain HTTP is for this machine only: give https://chat.example.org"),
        ("0.0.0.0", "http://localhost:8080", "people beyond this machine need https"),
        ("127.0.0.1", "https://chat.example.org/chat", "give scheme and host only: https://chat.example.org"),
        ("127.0.0.1", "https://chat.example.org:8443?x", "give scheme and host only: https://chat.example.org:8443"),
        ("127.0.0.1", "https://chat.example.org#", "give scheme and host only"),
        ("127.0.0.1", "chat.example.org", "give an address such as https://"),
        ("127.0.0.1", "ftp://chat.example.org", "give an address such as https://"),
        ("127.0.0.1", "https://", "give an address such as https://"),
        ("127.0.0.1", "https://x:99999", "give an address such as https://"),
        ("127.0.0.1", "https://[::1", "give an address such as https://"),
        ("127.0.0.1", "https://1.2.3", "give an address such as https://"),
        ("127.0.0.1", " https://chat.example.org", "give an address such as https://"),
        ("127.0.0.1", "https://chât.example.org", "give an address such as https://"),
    ],
)
def test_it_refuses_an_address_that_people_could_not_use(host: str, url: str, fix: str) -> None:
    for name in ("public_url", "panel_url"):
        public = '\npublic_url = "https://c.example.org"' if name == "panel_url" else ""
        lines = wrong(f'host = "{host}"{public}\ntrusted_proxies = ["10.0.0.1"]\n{name} = "{url}"\n')
        assert fix in next(line for line in lines if line.startswith(name))


def test_it_wants_the_proxy_named_where_something_speaks_tls_in_front() -> None:
    lines = wrong('public_url = "https://chat.example.org"\n')
    assert len(lines) == 1
    assert "trusted_proxies" in lines[0]


def test_it_takes_plain_http_on_this_machine() -> None:
    for url in ("http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080", "http://chat.localhost"):
        assert load(public_url=url).public_url == url


@pytest.mark.parametrize("proxy", ["0.0.0.0/0", "::/0", "0.0.0.0/7", "10.0.0.1/8", "proxy.example.org", "*"])
def test_it_refuses_a_proxy_that_is_nobody_or_everybody(proxy: str) -> None:
    lines = wrong(f'trusted_proxies = ["{proxy}"]\n')
    assert len(lines) == 1
    assert lines[0].startswith(f"trusted_proxies = {proxy}: ")


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        (
            'smtp_host = "mail.example.org"\nmail_from = "a@example.org"\nsmtp_security = "none"',
            "smtp_security = none: ",
        ),
        ('smtp_host = "mail.example.org"', "mail_from: not set"),
        ('smtp_host = "mail.example.org:25"\nmail_from = "a@example.org"', "smtp_host = mail.example.org:25: "),
        ('mail_from = "nobody"', "mail_from = nobody: "),
        ('mail_from = "a@example.org, b@example.org"', "mail_from = "),
        ('mail_from = "A <a@example.org"', "mail_from = "),
        ('smtp_user = "u"', "smtp_password_file: not set, but smtp_user is"),
        ("session_idle_seconds = 7200\nsession_seconds = 3600", "session_idle_seconds = 7200: larger than"),
        ("assurance_idle_seconds = 1800\nassurance_seconds = 600", "assurance_idle_seconds = 1800: larger than"),
        ("sockets_total = 100\nsockets_unauthenticated = 50\nsockets_per_address = 101", "sockets_per_address = 101: "),
        ("sockets_total = 100", "sockets_unauthenticated = 500: larger than sockets_total = 100"),
        ("write_queue = 100", "write_batch = 200: larger than write_queue = 100"),
    ],
)
def test_it_refuses_settings_that_contradict_each_other(text: str, fix: str) -> None:
    lines = wrong(text + "\n")
    assert len(lines) == 1
    assert lines[0].startswith(fix)


def test_it_takes_mail_without_encryption_on_this_machine_only() -> None:
    settings = load(smtp_host="127.0.0.1", smtp_security="none", mail_from="Chat <chat@example.org>")
    assert settings.smtp_security == "none"


# The three places.


@pytest.mark.parametrize(
    ("data", "keyring", "root_key", "named"),
    [
        ("d", "d/ring/k.db", "key/root.key", ["keyring"]),
        ("d", "r/k.db", "d/root.key", ["root_key"]),
        ("d", "r/k.db", "r/root.key", ["root_key"]),
        ("d", "r/k.db", "r/deep/root.key", ["root_key"]),
        ("d", "d/k.db", "d/root.key", ["keyring", "root_key", "root_key"]),
        ("d", "r/../d/k.db", "key/root.key", ["keyring"]),
        (".", "/ring/k.db", "root.key", ["root_key"]),
    ],
)
def test_it_refuses_places_that_one_copy_would_carry(data: str, keyring: str, root_key: str, named: list[str]) -> None:
    lines = wrong("", {"APARTE_DATA": data, "APARTE_KEYRING": keyring, "APARTE_ROOT_KEY": root_key})
    assert [line.split(" =")[0] for line in lines] == named


def test_it_follows_links_between_the_places(tmp_path: Path) -> None:
    for name in ("data", "ring", "key"):
        (tmp_path / name).mkdir()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "data")
    with pytest.raises(errors.BadSetting, match="keyring"):
        config.check_places(Path("data"), Path("elsewhere/k.db"), Path("key/root.key"))
    with pytest.raises(errors.BadSetting, match="root_key"):
        config.check_places(Path("elsewhere"), Path("ring/k.db"), Path("data/root.key"))
    config.check_places(Path("data"), Path("ring/k.db"), Path("key/root.key"))


def test_it_knows_no_switch_for_encryption_or_checks() -> None:
    names = {field.name for field in fields(Settings)}
    assert not [
        name for name in names if any(word in name for word in ("encrypt", "disable", "insecure", "skip", "allow"))
    ]
    assert not [field.name for field in fields(Settings) if isinstance(field.default, bool)]


def test_it_reads_the_real_environment() -> None:
    assert config.load(None, os.environ | PLACES).data == Path.cwd() / "data"
