"""witness.toml and the two forms of a list of logs."""

from pathlib import Path

import pytest

from monitor.witness_config import (
    KEY,
    Logs,
    Settings,
    parse_list,
    read,
    read_signer,
)
from pcrlog.encoding import encode_base64, sha256
from pcrlog.errors import MalformedError, UsageError
from pcrlog.note import COSIGNATURE, NoteSigner
from tests.unit.monitor.witnessed import WITNESS, Log

ONE, TWO = Log(1), Log(2)
TOML = 'format = "pcrlog-witness/v1"\nname = "w1.example"\n'


def mldsa(name: str) -> str:
    """A vkey of type 0x06, as logs will have them."""
    public = b"\x06" + bytes(1312)
    key_hash = sha256(name.encode() + b"\n" + public)[:4]
    return f"{name}+{key_hash.hex()}+{encode_base64(public)}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "witness.toml").write_text(TOML, "ascii")
    (tmp_path / "logs").write_text(f"{ONE.key}\n", "ascii")
    (tmp_path / KEY).write_text(f"{WITNESS.skey()}\n", "ascii")
    return tmp_path


def refused(data: str) -> str:
    with pytest.raises(MalformedError) as found:
        parse_list(data.encode(), 1)
    return str(found.value)


# --- lists ----------------------------------------------------------------------------


def test_a_list_is_a_vkey_a_line_and_maybe_its_requests_a_day() -> None:
    found = parse_list(f"# ours\n\n{ONE.key} 24\r\n  {TWO.key}  \n".encode(), 99)
    assert found.key(ONE.origin) == ONE.key
    assert [log.qpd for log in found.table.values()] == [24, 99]
    assert found.key("other.example/log") is None


def test_an_empty_list_is_one() -> None:
    for data in (b"", b"# nobody\n", b"logs/v0\n"):
        assert parse_list(data, 1) == Logs()


def test_the_list_of_the_witness_network_is_read() -> None:
    data = f"""\
# List: example

logs/v0

vkey {ONE.key}
origin none
qpd 8640
bastion none
contact sysadmin (at) log1.example | https://log1.example/about

vkey {TWO.key}
origin {TWO.origin}
future words
contact us
"""
    found = parse_list(data.encode(), 99)
    one, two = found.table.values()
    assert (one.key, one.qpd) == (ONE.key, 8640)
    assert one.contact == "sysadmin (at) log1.example | https://log1.example/about"
    assert (two.key, two.qpd, two.contact) == (TWO.key, 99, "us")
    assert found.skipped == ()


def test_what_we_cannot_cosign_is_skipped_and_said() -> None:
    data = (
        f"logs/v0\nvkey {ONE.key}\norigin go.sum database tree\nvkey {mldsa('q.org')}\n"
        f"vkey {WITNESS.public}\nvkey {TWO.key}\n"
    )
    found = parse_list(data.encode(), 1)
    assert list(found.table) == [TWO.origin]
    assert len(found.skipped) == 3
    assert "its origin is 'go.sum database tree'" in found.skipped[0]
    assert found.skipped[1:] == (
        "q.org: a key of another type",
        "w1.example: a key of another type",
    )


def test_a_key_that_stands_twice_counts_once_and_two_keys_of_a_log_are_refused() -> (
    None
):
    assert (
        parse_list(f"{ONE.key} 5\n{ONE.key} 7\n".encode(), 1).table[ONE.origin].qpd == 5
    )
    other = NoteSigner(ONE.origin, bytes(32)).public
    assert "line 2: a second key" in refused(f"{ONE.key}\n{other}\n")


@pytest.mark.parametrize(
    "data",
    [
        "nonsense\n",
        f"{ONE.key} often\n",
        f"{ONE.key} 0\n",
        f"{ONE.key} 1 2\n",
        f"{WITNESS.public}\n",
        mldsa("q.org") + "\n",
        str(ONE.key).replace("+", "+0", 1) + "\n",
        f"logs/v1\nvkey {ONE.key}\n",
        "logs/v0\nqpd 5\n",
        "logs/v0\nvkey nonsense\n",
        "logs/v0\nvkey\n",
        f"logs/v0\nvkey {ONE.key}\nqpd x\n",
        f"logs/v0\nvkey {ONE.key}\nqpd 1\nqpd 1\n",
        "logs/v0\nvkey " + str(ONE.key).replace("+", "+0", 1) + "\n",
    ],
)
def test_what_is_no_list_is_refused_and_says_where(data: str) -> None:
    assert "line " in refused(data)


def test_a_list_is_utf_8() -> None:
    with pytest.raises(MalformedError, match="UTF-8"):
        parse_list(b"\xff", 1)


def test_lists_add_up_and_the_first_that_has_a_log_counts(folder: Path) -> None:
    (folder / "more").write_text(
        f"logs/v0\nvkey {ONE.key}\nqpd 5\nvkey {TWO.key}\nqpd 6\n", "ascii"
    )
    (folder / "witness.toml").write_text(f'{TOML}lists = ["logs", "more"]\nqpd = 7\n')
    found = Logs.load(folder, Settings.load(folder))
    assert {one.qpd for one in found.table.values()} == {7, 6}
    other = NoteSigner(ONE.origin, bytes(32)).public
    (folder / "more").write_text(f"{other}\n", "ascii")
    with pytest.raises(UsageError, match="two keys of the log"):
        Logs.load(folder, Settings.load(folder))


def test_a_list_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.witness_config._MOST_LOGS", 1)
    assert "at most 1" in refused(f"{ONE.key}\n{TWO.key}\n")


# --- witness.toml ---------------------------------------------------------------------


def test_settings_have_defaults(folder: Path) -> None:
    found = Settings.load(folder)
    assert (found.listen, found.prefix) == ("127.0.0.1:8091", "")
    assert (found.lists, found.qpd) == (("logs",), 86_400)


@pytest.mark.parametrize(
    "more",
    [
        'unknown = "x"',
        "qpd = 0",
        "lists = [1]",
        'prefix = "w1"',
        'prefix = "/w1/"',
        'prefix = "/"',
        "name",
        "[" * 2000,
    ],
)
def test_settings_that_make_no_sense_are_refused(folder: Path, more: str) -> None:
    (folder / "witness.toml").write_text(f"{TOML}{more}\n", "ascii")
    with pytest.raises(UsageError, match=r"witness\.toml"):
        Settings.load(folder)


def test_a_file_that_is_missing_or_too_large_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read(folder / "nothing", 10)
    (folder / "large").write_bytes(bytes(11))
    with pytest.raises(UsageError, match="more than 10 bytes"):
        read(folder / "large", 10)


def test_the_key_is_of_the_name_and_of_type_4(folder: Path) -> None:
    settings = Settings.load(folder)
    assert read_signer(folder, settings).public == WITNESS.public
    for other in (
        NoteSigner("w1.example", bytes(32)),
        NoteSigner("w2.example", bytes(32), COSIGNATURE),
    ):
        (folder / KEY).write_text(other.skey(), "ascii")
        with pytest.raises(UsageError, match="expected a key of type 0x04"):
            read_signer(folder, settings)
    (folder / KEY).write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not a note signing key"):
        read_signer(folder, settings)
