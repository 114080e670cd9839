"""`verify --report` and `report`: the same years later, and no byte of it otherwise."""

import json
import random
from pathlib import Path

import pytest
from msgspec import structs

from cli import report_parts
from cli.output import Output
from cli.report_file import differences, read
from cli.report_page import render
from cli.report_writing import Call, write_report
from cli.session import Session
from pcrlog.encoding import encode_base64, encode_json, sha256
from pcrlog.entry import Entry
from pcrlog.policy import Policy
from pcrlog.predicates import Binding, Release
from tests.support import machines
from tests.support.machines import SGX, TPM
from tests.support.scene import NONCE, PRODUCT, document
from tests.unit.cli.test_verify import enclave
from tests.unit.cli.world import URL, Ran, World

VERIFY = f"verify --policy policy.toml --product {PRODUCT} --attestation doc"
LIVE = f"{VERIFY} --nonce {NONCE.hex()}"
ENCLAVE = "https://enclave.example/attest"
YEARS = 8 * 365 * 86_400
OLD = Path(__file__).parents[2] / "vectors" / "pages" / "report-v1.html"


@pytest.fixture
def filed(world: World) -> World:
    """A report in out.html, and years that have gone by."""
    world.scene.release(binding=Binding("user_data", "tls-spki-sha256"))
    world.scene.reproduce()
    world.log.seal()
    world.write("doc", document(time=world.log.now))
    assert world.run(LIVE, "--report out.html").status == 0
    world.log.now += YEARS
    return world


def known(world: World) -> str:
    return (
        f"--policy-sha256 {sha256((world.folder / 'policy.toml').read_bytes()).hex()}"
    )


def again(world: World, *words: str, file: str = "out.html") -> dict[str, object]:
    ran = world.run(f"report verify {file}", *words, "--json")
    found: dict[str, object] = json.loads(ran.out)
    return {**found, "exit": ran.status}


# --- as it was ------------------------------------------------------------------------


def test_it_is_repeated_years_later_from_what_is_inside(filed: World) -> None:
    asked = len(filed.asked)
    found = again(filed, known(filed))
    assert (found["words"], found["policy"], found["exit"]) == ("same", "confirmed", 0)
    assert found["differences"] == []
    assert len(filed.asked) == asked


def test_a_policy_that_nobody_knows_proves_nothing(filed: World) -> None:
    found = again(filed)
    assert (found["words"], found["policy"], found["exit"]) == ("same", "unknown", 3)
    shown = filed.run("report verify out.html").out
    assert f"report verify out.html {known(filed)}" in shown


def test_another_policy_than_the_accepted_one_is_refused(filed: World) -> None:
    ran = filed.run(f"report verify out.html --policy-sha256 {'ab' * 32}")
    assert ran.status == 4
    assert "the policy inside is" in ran.err


def test_the_readers_own_policy_decides(filed: World) -> None:
    assert again(filed, "--policy policy.toml")["policy"] == "confirmed"
    filed.write_policy(product={"links": [1, 2, 3, 4]})
    found = again(filed, "--policy policy.toml")
    assert (found["words"], found["policy"], found["exit"]) == ("same", "own", 4)
    assert str(found["policy_sha256"]) in known(filed)


def test_a_time_can_be_asked_about(filed: World) -> None:
    found = again(filed, known(filed), "--at 2026-11-23T07:01:00Z")
    report = found["report"]
    assert isinstance(report, dict)
    assert (report["archived"], found["words"], found["exit"]) == (True, "same", 3)
    assert filed.run("report verify out.html --at yesterday").status == 2


def test_a_refutation_can_be_filed(world: World) -> None:
    world.scene.release()
    world.scene.reproduce(result="fail")
    world.log.seal()
    world.write("doc", document(time=world.log.now))
    assert world.run(LIVE, "--report out.html").status == 4
    found = again(world, known(world))
    assert (found["words"], found["exit"]) == ("same", 4)


def test_a_run_without_answers_can_be_filed(world: World) -> None:
    world.write("doc", b"hello")
    assert world.run(LIVE, "--report out.html").status == 4
    assert again(world, known(world))["words"] == "same"


def test_memory_connection_and_archives_are_part_of_it(filed: World) -> None:
    filed.log.now -= YEARS
    filed.scene.review()
    filed.log.seal()
    key = sha256(b"the enclave's key")
    filed.write("doc", document(time=filed.log.now, user_data=key))
    binding = f"--binding tls-spki-sha256:{key.hex()}"
    assert filed.run(LIVE, binding, "--report two.html").status == 0
    found = again(filed, known(filed), file="two.html")
    report = found["report"]
    assert isinstance(report, dict)
    held = {check["id"] for check in report["checks"] if check["status"] == "pass"}
    assert (found["words"], found["exit"]) == ("same", 0)
    assert {"log.memory", "channel"} <= held
    filed.run(f"{VERIFY} --at 2026-11-23T07:01:00Z --report then.html")
    assert again(filed, known(filed), file="then.html")["words"] == "same"


def test_a_channel_that_the_command_required_is_required_again(
    filed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed.log.now -= YEARS
    enclave(filed, monkeypatch, shown=sha256(b"somebody in the middle"))
    words = f"verify --policy policy.toml --product {PRODUCT} --url {ENCLAVE}"
    assert filed.run(words, "--report url.html").status == 3
    found = again(filed, known(filed), file="url.html")
    assert (found["words"], found["exit"]) == ("same", 3)


def test_a_file_from_the_future_is_not_believed(filed: World) -> None:
    filed.log.now -= 2 * YEARS
    assert again(filed, known(filed))["exit"] == 3


def test_a_file_of_format_v1_is_read_for_ever() -> None:
    """It was made once, by `verify --report`, from a log that is long gone.

    If this fails, do not mend the file: make the new words a format v2.
    """
    filed = read(OLD.read_bytes())
    assert filed.faithful
    again = filed.again(filed.policy)
    assert differences(filed.parts.report, again) in ([], ["words"])
    assert again.verdict == "verified"


# --- another maker's machines ---------------------------------------------------------

FRESH = bytes(range(32))
"""A nonce as long as what a quote has room for."""
ASK = f"verify --policy policy.toml --product {PRODUCT} --attestation quote"
QUOTE = f"{ASK} --nonce {FRESH.hex()} --collateral told --report out.html"


def policy_for_machines(world: World, **rules: object) -> None:
    """The policy, for machines of three kinds; `rules` are of those with SGX."""
    tables = {SGX: {**machines.SGX_RULES, **rules}, TPM: machines.TPM_RULES}
    waived = {"witnesses": "none", "index_monitors": "none"}
    text = world.scene.policy_text(
        log={"url": URL, **waived},
        platforms=tables,
        product={"platforms": ["aws-nitro", SGX, TPM]},
    )
    world.write("policy.toml", text.encode())


@pytest.fixture
def enclaved(world: World) -> World:
    """A release for SGX, a quote with our nonce, and its maker's collateral."""
    policy_for_machines(world)
    world.scene.release(image=machines.ENCLAVE, platform=SGX, numbers=machines.NUMBERS)
    world.log.seal()
    world.write("quote", machines.quote(nonce=FRESH))
    world.write("told", machines.collateral(world.log.now))
    return world


def part(world: World, name: str) -> bytes | None:
    filed = read((world.folder / "out.html").read_bytes())
    return filed.parts.named().get(name)


def test_collateral_is_a_part_and_the_run_is_made_again_with_it(
    enclaved: World,
) -> None:
    ran = enclaved.run(QUOTE)
    assert ran.status == 0, ran.out
    assert part(enclaved, "collateral") == (enclaved.folder / "told").read_bytes()
    enclaved.log.now += YEARS
    found = again(enclaved, known(enclaved))
    assert (found["words"], found["exit"]) == ("same", 0)
    report = found["report"]
    assert isinstance(report, dict)
    held = {one["id"] for one in report["checks"] if one["status"] == "pass"}
    assert {"document.qe-report", "document.collateral", "document.tcb"} <= held


def test_a_page_shows_what_a_maker_says_and_what_is_demanded_of_it(
    enclaved: World,
) -> None:
    policy_for_machines(
        enclaved, tcb=["UpToDate", "OutOfDate"], advisories=["INTEL-SA-00615"]
    )
    assert enclaved.run(QUOTE).status == 0
    page = (enclaved.folder / "out.html").read_text()
    for check in ("document.qe-report", "document.revocation", "document.tcb"):
        assert f"<td><b>{check}</b></td>" in page
    for words in (
        f"<dt>{SGX}</dt><dd>a document with our nonce; run by azure</dd>",
        f"<dt>{TPM}</dt><dd>a document of at most 300 s, with our nonce; run by",
        "<dt>states of its machines</dt><dd>UpToDate, OutOfDate</dd>",
        "<dt>known advisories</dt><dd>INTEL-SA-00615</dd>",
        "<dt>collateral</dt><dd>demanded</dd>",
    ):
        assert words in page


def test_a_page_shows_demands_of_machines_alone(enclaved: World) -> None:
    """A file among the platforms is demanded nothing of."""
    text = (enclaved.folder / "policy.toml").read_text()
    more = text.replace(f'"{TPM}"]', f'"{TPM}", "artifact"]')
    assert more != text
    enclaved.write("policy.toml", more.encode())
    assert enclaved.run(QUOTE).status == 0
    assert b"<dt>artifact</dt>" not in (enclaved.folder / "out.html").read_bytes()


def test_a_page_shows_what_is_not_demanded(enclaved: World) -> None:
    policy_for_machines(enclaved, nonce="optional", collateral="optional")
    assert enclaved.run(f"{ASK} --report out.html").status == 0
    page = (enclaved.folder / "out.html").read_text()
    told = f"<dt>{SGX}</dt><dd>a document of any age, with a nonce or none; run by"
    assert told in page
    assert "<dt>known advisories</dt><dd>none</dd>" in page
    assert "<dt>collateral</dt><dd>not demanded</dd>" in page
    assert part(enclaved, "collateral") is None
    assert again(enclaved, known(enclaved))["words"] == "same"


def test_collateral_that_is_changed_or_left_out_is_found(enclaved: World) -> None:
    enclaved.run(QUOTE)
    page = (enclaved.folder / "out.html").read_bytes()
    start = page.index(b'<pre id="part-collateral">')
    end = page.index(b"</pre>", start) + 6
    assert changed(enclaved, page[:start] + page[end:]).status == 4
    assert changed(enclaved, page + page[start:end]).status == 4
    parts = read(page).parts
    for other in (None, b"{}", machines.collateral(enclaved.log.now, status="Revoked")):
        made_up = render(structs.replace(parts, collateral=other))
        assert changed(enclaved, made_up).status == 4


def named(world: World, platform: object) -> None:
    """Let the file say which platform the command named, or that it named none."""
    parts = read((world.folder / "out.html").read_bytes()).parts
    run = json.loads(parts.run)
    run.pop("platform", None)
    run |= {} if platform is None else {"platform": platform}
    world.write("out.html", render(structs.replace(parts, run=encode_json(run))))


def test_the_platform_that_the_command_named_is_part_of_the_run(
    enclaved: World,
) -> None:
    """Another platform's document is refused, which a run without it would not."""
    assert enclaved.run(f"{QUOTE} --platform {TPM}").status == 4
    named(enclaved, TPM)
    found = again(enclaved, known(enclaved))
    assert (found["words"], found["exit"]) == ("same", 4)
    assert f", on {TPM}." in (enclaved.folder / "out.html").read_text()
    named(enclaved, None)
    assert again(enclaved, known(enclaved))["words"] == "changed"


def test_a_call_on_a_platform_is_written_as_one(world: World) -> None:
    report = world.scene.report()
    call = Call(
        document=b"",
        bundle=None,
        product=PRODUCT,
        now=world.log.now,
        at=None,
        nonce=None,
        binding=None,
        memory=None,
        channel=False,
        platform="aws-nitro",
    )
    policy = world.scene.policy_text()
    world.write("policy.toml", policy.encode())
    session = Session(lambda: float(world.log.now), Output())
    write_report(session, "out.html", "policy.toml", call, report)
    assert read((world.folder / "out.html").read_bytes()).run.platform == "aws-nitro"


def test_a_platform_that_the_policy_inside_does_not_name_is_no_report(
    filed: World,
) -> None:
    named(filed, SGX)
    ran = filed.run("report verify out.html", known(filed))
    told = f"{PRODUCT}: expected aws-nitro, got {SGX}"
    assert (ran.status, told in " ".join(ran.err.split())) == (4, True)


def test_collateral_is_taken_out_with_the_rest(enclaved: World) -> None:
    enclaved.run(f"{QUOTE} --platform {SGX}")
    named(enclaved, SGX)
    ran = enclaved.run("report extract out.html parts")
    told = " ".join(ran.out.split())
    assert f"--collateral parts/collateral.json --platform {SGX}" in told
    assert Path("parts/collateral.json").read_bytes() == Path("told").read_bytes()


# --- changed --------------------------------------------------------------------------


def changed(world: World, data: bytes) -> Ran:
    world.write("changed.html", data)
    return world.run("report verify changed.html", known(world))


def test_no_byte_can_be_changed(filed: World) -> None:
    """One in each of a few hundred places, chosen anew with each run of the tests."""
    data = (filed.folder / "out.html").read_bytes()
    for place in random.sample(range(len(data)), 150):
        other = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert changed(filed, other).status == 4, place


@pytest.mark.parametrize("part", ["run", "policy", "document", "bundle", "report"])
def test_no_part_can_be_changed_or_left_out(filed: World, part: str) -> None:
    data = (filed.folder / "out.html").read_bytes()
    start = data.index(f'<pre id="part-{part}">\n'.encode())
    middle = (start + data.index(b"</pre>", start)) // 2
    letter = b"A" if data[middle : middle + 1] != b"A" else b"B"
    assert changed(filed, data[:middle] + letter + data[middle + 1 :]).status == 4
    renamed = data.replace(f"part-{part}".encode(), b"part-none")
    assert changed(filed, renamed).status == 4
    twice = data + data[start : data.index(b"</pre>", start) + 6]
    assert changed(filed, twice).status == 4


def test_words_that_were_made_up_are_found(filed: World) -> None:
    data = (filed.folder / "out.html").read_bytes()
    ran = changed(filed, data.replace(b"link 3 of 7", b"link 7 of 7"))
    assert ran.status == 4
    assert "CHANGED: changed.html is not what its parts lead to (page)" in ran.out


def test_a_report_that_was_made_up_is_found(filed: World) -> None:
    """Its page is made from it, and all fits but the verification."""
    parts = read((filed.folder / "out.html").read_bytes()).parts
    told = json.loads(parts.report)
    told["headline"] = "VERIFIED TO LINK 7 OF 7: everybody is happy"
    made_up = render(remade(parts, told))
    found = changed(filed, made_up)
    assert (found.status, "CHANGED" in found.out, "(words)" in found.out) == (4, 1, 1)
    told["trust_ends_at"] = 7
    found = changed(filed, render(remade(parts, told)))
    assert (found.status, "(trust_ends_at)" in found.out) == (4, True)


def remade(parts: report_parts.Parts, told: object) -> report_parts.Parts:
    return structs.replace(parts, report=encode_json(told))


def test_other_words_of_another_version_are_told(
    filed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_parts, "program", lambda: "9.9.9")
    assert again(filed, known(filed))["words"] == "same"
    data = (filed.folder / "out.html").read_bytes()
    ran = changed(filed, data.replace(b"Trust ends here", b"Trust is over  "))
    assert ran.status == 3
    assert "other words: pcrlog 0.1.0 made changed.html" in ran.out


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff" * 100, b"x" * 5_000_000])
def test_what_is_no_report_is_refused(world: World, data: bytes) -> None:
    world.write("no.html", data)
    assert world.run("report verify no.html").status in {2, 4}


@pytest.mark.parametrize(
    ("part", "data"),
    [
        ("run", b"{}"),
        ("run", b"\xff"),
        ("policy", b"hello"),
        ("report", b"{}"),
        ("report", b'{"b":1,"a":2}'),
        ("report", b"\xff"),
        ("document", bytes(200_000)),
    ],
)
def test_parts_that_are_of_no_form_are_refused(
    filed: World, part: str, data: bytes
) -> None:
    """As an attacker makes them: in base64, in their place."""
    page = (filed.folder / "out.html").read_bytes()
    start = page.index(f'<pre id="part-{part}">\n'.encode())
    end = page.index(b"</pre>", start)
    forged = f'<pre id="part-{part}">\n{encode_base64(data)}'.encode()
    assert changed(filed, page[:start] + forged + page[end:]).status == 4
    strange = page[:start] + forged[:-1] + "é".encode() + page[end:]
    assert changed(filed, strange).status == 4


def test_a_nonce_that_is_no_hex_is_refused(filed: World) -> None:
    parts = read((filed.folder / "out.html").read_bytes()).parts
    run = json.loads(parts.run)
    run["nonce"] = "no hex"
    ran = changed(filed, render(structs.replace(parts, run=encode_json(run))))
    assert (ran.status, "not hex" in ran.err) == (4, True)


# --- files ----------------------------------------------------------------------------


def test_a_file_that_is_there_is_left_before_anything_is_asked(filed: World) -> None:
    data, asked = (filed.folder / "out.html").read_bytes(), len(filed.asked)
    for name in ("out.html", "nowhere/out.html", "-"):
        assert filed.run(LIVE, f"--report {name}").status == 2
    assert (filed.folder / "out.html").read_bytes() == data
    assert len(filed.asked) == asked


def test_a_policy_that_changed_meanwhile_is_not_filed(
    filed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = (filed.folder / "policy.toml").read_bytes()
    parse = Policy.parse

    def parse_and_change(data: bytes) -> Policy:
        filed.write("policy.toml", was + b"# more\n")
        return parse(data)

    monkeypatch.setattr("cli.options.Policy.parse", parse_and_change)
    ran = filed.run(LIVE, "--report two.html")
    assert (ran.status, "changed meanwhile" in ran.err) == (2, True)
    assert not (filed.folder / "two.html").exists()


def test_a_report_can_be_taken_apart(filed: World) -> None:
    ran = filed.run("report extract out.html parts")
    assert ran.status == 0
    names = {path.name for path in Path("parts").iterdir()}
    assert names == {
        "run.json", "policy.toml", "document", "bundle.pcrbundle", "report.json"
    }  # fmt: skip
    for name, source in (("policy.toml", "policy.toml"), ("document", "doc")):
        assert Path("parts", name).read_bytes() == Path(source).read_bytes()
    assert "--attestation parts/document --at 2026-11-23T07:00:" in ran.out
    assert filed.run("report extract out.html parts").status == 2


def is_release(entry: Entry) -> bool:
    return isinstance(entry.predicate, Release)


def test_what_came_since_is_found_with_what_was_taken_out(filed: World) -> None:
    filed.run("report extract out.html parts")
    filed.scene.log.now -= YEARS
    release = next(i for i, e in filed.log.entries.items() if is_release(e))
    filed.log.revoke("acme.example", "vulnerable", release)
    filed.log.seal()
    ran = filed.run(
        f"verify --policy policy.toml --product {PRODUCT}"
        " --attestation parts/document --at 2026-11-23T07:00:01Z"
    )
    assert (ran.status, "vulnerable" in ran.out) == (4, True)


def test_a_check_that_a_file_is_older_than_is_left_out_only_if_it_passes() -> None:
    filed = read(OLD.read_bytes())
    assert b"policy.ground" not in filed.parts.report
    again = filed.again(filed.policy)
    failed = tuple(
        structs.replace(check, status="fail") if check.id == "policy.ground" else check
        for check in again.checks
    )
    found = structs.replace(again, checks=failed)
    assert differences(filed.parts.report, again) in ([], ["words"])
    assert differences(filed.parts.report, found) == ["checks"]
