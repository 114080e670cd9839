"""The documentation, held against the code: tables, examples, commands, links."""

import importlib
import re
import shlex
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
import pytest

import pcrlog
from monitor import config as monitor_config
from monitor import witness_config
from pcrlog import (
    index_keys,
    limits,
    measurement,
    merkle,
    policy_file,
    predicates,
    trie,
)
from pcrlog.attestation.simulator import Simulator
from pcrlog.encoding import encode_base64
from pcrlog.entry import parse_entry
from pcrlog.envelope import sign_envelope
from pcrlog.keys import SigningKey
from pcrlog.statement import STATEMENT_TYPE
from pcrlog.verification.checks import CHECKS
from tests.conftest import IN_CI
from tests.support.memory_log import MemoryLog, registers
from tests.support.vectors import ROOT

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "adr/*.md")
    for path in ROOT.glob(pattern)
)
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
VERIFYING = (ROOT / "docs" / "verifying.md").read_text(encoding="utf-8")
MONITORING = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
WITNESS = (ROOT / "docs" / "witness.md").read_text(encoding="utf-8")
CODE = ("pcrlog", "log_server", "monitor", "cli", "tests")
HEADING = re.compile(r"(?m)^(#+) (.+)$")
FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def section(text: str, title: str) -> str:
    """What stands under a heading, with its subsections."""
    headings = list(HEADING.finditer(text))
    [at] = [i for i, found in enumerate(headings) if found[2] == title]
    level = len(headings[at][1])
    ends = (h.start() for h in headings[at + 1 :] if len(h[1]) <= level)
    return text[headings[at].end() : next(ends, len(text))]


def tables(text: str) -> dict[str, list[list[str]]]:
    """The rows of each table, by the words in the first cell of its head."""
    found = {}
    for block in re.findall(r"(?m)(?:^\|.*\|\n)+", text):
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in block.splitlines()
        ]
        found[rows[0][0].strip("`")] = rows[2:]
    return found


def code(cell: str) -> list[str]:
    """What a cell has in code."""
    return re.findall(r"`([^`]+)`", cell)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [body for name, body in FENCE.findall(text) if name == language]


def members(record: type[msgspec.Struct]) -> list[str]:
    """A record's members, as the tables spell them: `?` for what may be absent."""
    return [
        field.encode_name if field.required else f"{field.encode_name}?"
        for field in msgspec.structs.fields(record)
    ]


# --- protocol.md: tables --------------------------------------------------------------


def test_limits_are_those_of_the_code() -> None:
    rows = tables(section(PROTOCOL, "4.9 Limits"))["limit"]
    told = {code(name)[0]: int(value.replace(",", "")) for name, value, *_ in rows}
    assert told == {n: value for n, value in vars(limits).items() if n.isupper()}


def test_checks_are_those_of_the_code_in_order() -> None:
    rows = tables(section(PROTOCOL, "4.7 Checks and verdict"))["check"]
    assert [code(row[0])[0] for row in rows] == list(CHECKS)
    assert f"{len(CHECKS)} numbered checks" in VERIFYING


PREDICATES: dict[str, tuple[type[msgspec.Struct], int]] = {
    "Release: `urn:pcrlog:release:v1`": (predicates.Release, 5),
    "Audit: `urn:pcrlog:audit:v1`": (predicates.Audit, 5),
    "Revocation: `urn:pcrlog:revocation:v1`": (predicates.Revocation, 5),
    "Identity: `urn:pcrlog:identity:v1`": (predicates.Identity, 3),
}


@pytest.mark.parametrize("title", PREDICATES, ids=lambda title: title.partition(":")[0])
def test_predicates_have_exactly_these_members(title: str) -> None:
    record, common = PREDICATES[title]
    statements = section(PROTOCOL, "2.1 Statements").partition("\n#### ")[0]
    shared = [code(row[0])[0] for row in tables(statements)["member"]]
    own = [code(row[0])[0] for row in tables(section(PROTOCOL, title))["member"]]
    assert sorted(shared[:common] + own) == sorted(members(record))


RECORDS: dict[str, type[msgspec.Struct]] = {
    "image": predicates.Image,
    "source": predicates.Source,
    "document": predicates.Document,
    "build": predicates.Build,
    "tool": predicates.BuildTool,
    "component": predicates.Component,
    "control": predicates.Control,
    "binding": predicates.Binding,
    "reference": predicates.Reference,
    "open": predicates.OpenFindings,
    "basis": predicates.Basis,
    "key": predicates.IdentityKey,
    "register": measurement.Register,
}


def test_records_have_exactly_these_members() -> None:
    rows = tables(section(PROTOCOL, "Records"))["record"]
    told = {name: code(names) for name, names, _ in rows}
    assert told == {name: members(record) for name, record in RECORDS.items()}


def test_platforms_are_those_of_the_code() -> None:
    rows = tables(section(PROTOCOL, "2.1 Statements"))["platform"]
    told = {code(row[0])[0]: code(row[2])[0] for row in rows}
    for name, platform in measurement.PLATFORMS.items():
        assert told[name] == msgspec.json.encode(platform.identity).decode()


POLICY_TABLES: dict[str, type[msgspec.Struct]] = {
    "top level": policy_file.File,
    "[[log]]": policy_file.LogTable,
    "[platforms.X]": policy_file.PlatformTable,
    '[products."X"]': policy_file.Product,
}


@pytest.mark.parametrize("head", POLICY_TABLES)
def test_policies_have_exactly_these_members(head: str) -> None:
    rows = tables(section(PROTOCOL, "4.6 Policy"))[head]
    told = [
        f"{code(name)[0]}?" if default else code(name)[0] for name, default, _ in rows
    ]
    assert sorted(told) == sorted(members(POLICY_TABLES[head]))


def test_reports_have_exactly_these_members() -> None:
    rows = tables(section(PROTOCOL, "4.8 The report"))["member"]
    fields = msgspec.structs.fields(pcrlog.Report)
    assert [code(row[0])[0] for row in rows] == [field.name for field in fields]


# --- monitoring.md, witness.md: settings ----------------------------------------------

SETTINGS: dict[str, type[msgspec.Struct]] = {
    "top level": monitor_config.Settings,
    "[watch]": monitor_config.Watch,
    "[[live]]": monitor_config.Live,
    "[[view]]": monitor_config.View,
    "[cosign]": monitor_config.Cosigning,
    '[[sink]]`, `kind = "stdout"': monitor_config.Stdout,
    '[[sink]]`, `kind = "webhook"': monitor_config.Webhook,
    '[[sink]]`, `kind = "smtp"': monitor_config.Smtp,
    "[heartbeat]": monitor_config.Heartbeat,
}


def spelled(setting: msgspec.structs.FieldInfo) -> str:
    """A setting's default, as the tables spell it."""
    if setting.default_factory is not msgspec.NODEFAULT:
        return "nothing"
    if setting.required:
        return ""
    if setting.default is None:
        return "none"
    if setting.default == ():
        return "`[]`"
    return f"`{msgspec.json.encode(setting.default).decode()}`"


@pytest.mark.parametrize("head", SETTINGS)
def test_a_monitors_settings_and_defaults_are_those_of_the_code(head: str) -> None:
    rows = tables(section(MONITORING, "Settings"))[head]
    told = {code(name)[0]: default for name, default, _ in rows}
    fields = msgspec.structs.fields(SETTINGS[head])
    assert told == {one.encode_name: spelled(one) for one in fields}


def test_the_settings_have_a_table_for_each_part_of_a_monitor_toml() -> None:
    assert set(tables(section(MONITORING, "Settings"))) == set(SETTINGS)


def test_every_setting_of_a_witness_is_explained() -> None:
    told = set(re.findall(r"`([a-z]+)(?: = [^`]*)?`", WITNESS + MONITORING))
    fields = msgspec.structs.fields(witness_config.Settings)
    assert {one.encode_name for one in fields} <= told


# --- protocol.md: examples ------------------------------------------------------------


def test_the_example_policy_is_one() -> None:
    [text] = blocks(PROTOCOL, "toml")
    parsed = pcrlog.Policy.parse(text.encode())
    log = parsed.logs["log.example/pcr"]
    assert log.witnesses is not None
    assert (log.witnesses.least, len(log.witnesses.keys)) == (2, 3)
    assert parsed.product("acme.example/wallet").links == (1, 2, 3)


def test_the_worked_example_is_right() -> None:
    example = section(PROTOCOL, "A worked example")
    [text] = blocks(example, "json")
    payload = text.rstrip("\n").encode()
    told = {label: code(value)[0] for label, value in tables(example)["of it"]}
    key = SigningKey.from_seed(bytes(32))
    leaf = sign_envelope(payload, [key])
    entry = parse_entry(1, leaf)
    issuer = index_keys.of_issuer("acme.example")
    assert issuer in index_keys.index_keys(leaf)
    assert told == {
        "sha256 of the statement": entry.sha256,
        "keyid of the Ed25519 key whose seed is 32 zero bytes": entry.keyid,
        "its signature": encode_base64(entry.envelope.signatures[key.public.keyid]),
        f"leaf hash of the envelope ({len(leaf)} bytes)": merkle.leaf_hash(leaf).hex(),
        f"trie key of `{issuer}`": index_keys.key_hash(issuer).hex(),
        "trie value, were it the one entry with index 1": trie.value_of([1]).hex(),
    }
    assert STATEMENT_TYPE in PROTOCOL


def test_every_citation_of_the_protocol_has_its_section() -> None:
    titles = [found[2] for found in HEADING.finditer(PROTOCOL)]
    numbers = {title.split(" ")[0].rstrip(".") for title in titles}
    cited = re.compile(r"PROTOCOL\.md,?[\s#]+(?:section[\s#]+)?([0-9](?:\.[0-9])?)")
    for folder in CODE:
        for path in ROOT.glob(f"{folder}/**/*.py"):
            for number in cited.findall(path.read_text(encoding="utf-8")):
                assert number in numbers, _relative(path)


# --- verifying.md ---------------------------------------------------------------------


def test_the_python_verifier_verifies() -> None:
    [text] = blocks(VERIFYING, "python")
    product, nonce, built = "acme.example/wallet", bytes(range(16)), registers("wallet")
    log = MemoryLog()
    log.enroll("acme.example", "provider")
    log.release(product, "1.4.2", built)
    log.seal()
    simulator = Simulator(b"documentation")
    root = ssl.DER_cert_to_PEM_cert(simulator.root_der)
    tables_of_policy = (
        f'[platforms.aws-nitro]\nroots = ["""{root}"""]\n'
        f'[products."{product}"]\nplatforms = ["aws-nitro"]\n'
    )
    digests = {name: digest.partition(":")[2] for name, digest in built.items()}
    given = {
        "pcrlog": pcrlog,
        "policy_toml": log.policy(products=tables_of_policy).encode(),
        "document": simulator.document(
            time=1000 * log.now, registers=digests, nonce=nonce
        ),
        "bundle": log.bundle(product, built).encode(),
        "now": log.now,
        "nonce": nonce,
    }
    exec(text, given)  # noqa: S102 - the three lines of the document
    assert isinstance(enclave := given["enclave"], pcrlog.Enclave)
    assert (enclave.product, enclave.version) == (product, "1.4.2")
    assert isinstance(report := given["report"], pcrlog.Report)
    assert f"    {report.headline}\n" in VERIFYING


# --- commands -------------------------------------------------------------------------


class Quoted(NamedTuple):
    """A command line, and the document that it stands in."""

    document: str
    line: str


PROGRAMS = {
    "pcrlog": "cli.main",
    "pcrlog-server": "log_server.commands",
    "pcrlog-monitor": "monitor.commands",
}
LINE = re.compile(r"(?m)^ *(?:\$ )?((?:\S*/)?pcrlog(?:-server|-monitor)? [a-z].*)$")
INLINE = re.compile(r"`(pcrlog(?:-server|-monitor)? [a-z][^`]*)`")
WORD = re.compile(r"[a-z][a-z-]*(?:\|[a-z][a-z-]*)*")


def quoted() -> Iterator[Quoted]:
    """Each command line in a block of code, or in code within a sentence."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        fenced = "".join(body for _, body in FENCE.findall(text))
        prose = FENCE.sub("", text)
        indented = "\n".join(re.findall(r"(?m)^ {4}.*$", prose))
        for block in (fenced, indented):
            for line in LINE.findall(block.replace("\\\n", " ")):
                for one in line.split(" && "):
                    yield Quoted(_relative(path), one)
        for line in INLINE.findall(prose):
            yield Quoted(_relative(path), line)


def program(name: str) -> click.Group:
    """The commands of a program."""
    module = importlib.import_module(PROGRAMS[name])
    [group] = [one for one in vars(module).values() if isinstance(one, click.Group)]
    return group


def check(line: str) -> None:
    """Check that the commands of a line, and its options, exist."""
    first, *rest = shlex.split(re.sub(r"[\[\]()…]", " ", line), comments=True)
    command: click.Command = program(first.rpartition("/")[2])
    for at, word in enumerate(rest):
        if isinstance(command, click.Group):
            if not WORD.fullmatch(word):
                return
            context = click.Context(command)
            choices = [command.get_command(context, one) for one in word.split("|")]
            for found in choices:
                assert found is not None, f"no command {' '.join(rest[: at + 1])}"
                command = found
        elif word.startswith("-"):
            known = [o for p in command.params for o in (*p.opts, *p.secondary_opts)]
            option = word.partition("=")[0]
            assert option in {*known, "--help"}, f"{command.name} has no {option}"


@pytest.mark.parametrize(
    "found", sorted(set(quoted())), ids=lambda found: f"{found.document}: {found.line}"
)
def test_commands_and_their_options_exist(found: Quoted) -> None:
    try:
        check(found.line)
    except ModuleNotFoundError as error:
        ours = (error.name or "").partition(".")[0] in CODE
        if IN_CI or not ours:
            raise
        pytest.skip(f"not written yet: {error.name}")


def test_a_command_that_does_not_exist_is_found() -> None:
    with pytest.raises(AssertionError, match="no command nonsense"):
        check("pcrlog-server nonsense")
    with pytest.raises(AssertionError, match="init has no --nonsense"):
        check("pcrlog-server init DIR --nonsense")
    with pytest.raises(AssertionError, match="no command witness nonsense"):
        check("pcrlog-monitor witness nonsense w1")


# --- links ----------------------------------------------------------------------------

LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def slugs(text: str) -> set[str]:
    """The anchors of a document's headings."""
    titles = [found[2] for found in HEADING.finditer(FENCE.sub("", text))]
    words = [re.sub(r"[^\w\- ]", "", title.lower()) for title in titles]
    return {word.replace(" ", "-") for word in words}


@pytest.mark.parametrize("path", DOCUMENTS, ids=_relative)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    prose = FENCE.sub("", path.read_text(encoding="utf-8"))
    for link in LINK.findall(re.sub(r"`[^`\n]*`", "", prose)):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in slugs(target.read_text(encoding="utf-8")), link


# --- decisions ------------------------------------------------------------------------

RECORD_FILES = sorted((ROOT / "adr").glob("[0-9]*.md"))


@pytest.mark.parametrize("path", RECORD_FILES, ids=_relative)
def test_every_record_has_its_number_and_its_three_parts(path: Path) -> None:
    titles = [found[2] for found in HEADING.finditer(path.read_text(encoding="utf-8"))]
    assert titles[0].startswith(f"{int(path.name[:4])}. ")
    assert titles[1:] == ["Context", "Decision", "Consequences"]


def test_the_list_of_records_is_complete() -> None:
    rows = tables((ROOT / "adr" / "README.md").read_text(encoding="utf-8"))["record"]
    told = [re.findall(r"\((.+)\)", row[0])[0] for row in rows]
    assert told == [path.name for path in RECORD_FILES]
    assert [int(name[:4]) for name in told] == list(range(1, len(told) + 1))
