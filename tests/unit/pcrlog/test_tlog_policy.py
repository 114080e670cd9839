"""C2SP tlog-policy: one spelling, nobody twice, and nothing that is not k of n."""

import pytest

from pcrlog.errors import MalformedError
from pcrlog.note import NoteSigner, VerifierKey
from pcrlog.policy import EXAMPLE as OURS
from pcrlog.policy import Policy
from pcrlog.tlog_policy import EXAMPLE, TlogPolicy
from tests.support.memory_log import witness

LOG = str(NoteSigner("log.example/pcr", bytes(32)).public)
W1, W2, W3 = (str(witness(f"w{n}.example/a").public) for n in (1, 2, 3))
THREE = f"witness a {W1}\nwitness b {W2}\nwitness c {W3}\n"


def parse(text: str) -> TlogPolicy:
    return TlogPolicy.parse(text.encode())


def demanded(text: str) -> tuple[int, list[str]]:
    policy = parse(text)
    return policy.least, [str(key) for key in policy.keys]


# --- what is taken -------------------------------------------------------------------


def test_the_example_is_read() -> None:
    policy = parse(EXAMPLE)
    [log] = policy.logs
    assert log == next(iter(Policy.parse(OURS.encode()).logs.values())).key
    assert (policy.least, len(policy.keys)) == (1, 2)


@pytest.mark.parametrize(
    ("least", "number"), [("1", 1), ("2", 2), ("3", 3), ("any", 1), ("all", 3)]
)
def test_a_flat_group_is_k_of_n(least: str, number: int) -> None:
    text = f"{THREE}group g {least} a b c\nquorum g\n"
    assert demanded(text) == (number, [W1, W2, W3])


def test_one_witness_is_a_quorum() -> None:
    assert demanded(f"{THREE}quorum b\n") == (1, [W2])


def test_none_is_no_quorum() -> None:
    assert demanded("quorum none\n") == (0, [])
    assert demanded(f"{THREE}group g 2 a b\nquorum none\n") == (0, [])


def test_what_the_quorum_does_not_rest_on_does_not_count() -> None:
    text = f"{THREE}group g all a b\ngroup all-of-it any g c\nquorum g\n"
    assert demanded(text) == (2, [W1, W2])


def test_any_number_of_logs_may_be_named() -> None:
    other = str(NoteSigner("other.example/log", b"o" * 32).public)
    assert parse("quorum none\n").logs == ()
    policy = parse(f"log {LOG}\nquorum none\nlog {other} https://other.example\n")
    assert [str(key) for key in policy.logs] == [LOG, other]


def test_blanks_tabs_comments_and_urls_change_nothing() -> None:
    plain = f"log {LOG}\nwitness a {W1}\ngroup g 1 a\nquorum g\n"
    loose = (
        f"# a comment\n\n \t\n  log\t {LOG} \t https://log.example\n\t# another\n"
        f"witness a {W1}  https://w1.example \ngroup  g 1\ta\n quorum g\t\n"
    )
    assert parse(loose) == parse(plain)


def test_names_are_octets() -> None:
    # K and the Kelvin sign, which some software folds together.
    text = f"witness K {W1}\nwitness \u212a {W2}\ngroup g all K \u212a\nquorum g\n"
    assert demanded(text) == (2, [W1, W2])
    raw = f"witness \x00 {W1}\nquorum \x00\n".encode().replace(b"\x00", b"\xff\xfe")
    assert TlogPolicy.parse(raw).least == 1


def test_a_hash_within_a_line_is_no_comment() -> None:
    assert demanded(f"witness #a {W1}\nquorum #a\n") == (1, [W1])
    with pytest.raises(MalformedError, match="5 words"):
        parse(f"witness a {W1}\nquorum a # not a comment\n")


def test_as_many_as_it_takes_are_taken() -> None:
    """C2SP: at least 32 logs, witnesses and groups."""
    lines = [f"log {NoteSigner(f'l{n}', bytes([n]) * 32).public}" for n in range(64)]
    lines += [f"witness w{n} {witness(f'w{n}').public}" for n in range(64)]
    lines += [f"group g{n} 1 w{n}" for n in range(63)]
    policy = parse("\n".join([*lines, "quorum w63", ""]))
    assert (len(policy.logs), policy.least) == (64, 1)


# --- what is not ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        "group x any a b\ngroup y all x c\nquorum y",
        "group x any a\ngroup y all x\nquorum y",
    ],
)
def test_groups_of_groups_are_refused_with_a_word_about_it(lines: str) -> None:
    with pytest.raises(MalformedError, match=r"group of groups .* only k of n"):
        parse(f"{THREE}{lines}\n")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "expected one line `quorum"),
        ("quorum a\nquorum a", "line 5: a second quorum"),
        ("quorum d", "no witness or group of a line above"),
        ("quorum g\ngroup g 1 a", "no witness or group of a line above"),
        ("quorum", "found 0 words"),
        ("quorum a b", "found 2 words"),
        ("group g 1", "found 2 words"),
        ("group g 1 g", "no witness or group of a line above"),
        ("group g 1 none", "no witness or group of a line above"),
        ("group g 0 a", "0 must cosign"),
        ("group g 2 a", "expected a decimal 0..1"),
        ("group g 01 a", "expected a decimal"),
        ("group g +1 a", "expected a decimal"),
        ("group g -1 a", "expected a decimal"),
        ("group g Any a", "expected a decimal"),
        ("group g 1 a a", "is a member already"),
        ("group g 1 a\ngroup h 1 a", "is a member already"),
        ("group a 1 b", "is taken"),
        ("group none 1 a", "is taken"),
        ("group g 1 a\ngroup g 1 b", "is taken"),
        ("witness", "found 0 words"),
        (f"witness d {LOG}", "expected a key of type 0x04"),
        ("witness d junk", "expected a vkey"),
        (f"witness d {W1} https://x y", "found 4 words"),
        ("log", "found 0 words"),
        (f"log {W1}", "expected a key of type 0x01"),
        (f"log {LOG} https://x y", "found 3 words"),
        (f"log {LOG}\nlog {LOG}", "stands twice"),
        ("Quorum a", "expected log, witness, group or quorum"),
        ("policy a", "expected log, witness, group or quorum"),
    ],
)
def test_what_is_not_of_the_form_is_refused(lines: str, words: str) -> None:
    with pytest.raises(MalformedError, match=words):
        parse(f"{THREE}{lines}\n")


@pytest.mark.parametrize("octet", ["\x00", "\x0b", "\x0c", "\r", "\x1f", "\x7f"])
def test_control_characters_are_refused_even_in_comments(octet: str) -> None:
    with pytest.raises(MalformedError, match="control characters"):
        parse(f"# {octet}\nquorum none\n")


def test_the_last_line_ends_too() -> None:
    for text in ("quorum none", f"{THREE}quorum a"):
        with pytest.raises(MalformedError, match="each ended by LF"):
            parse(text)


def test_one_key_under_two_names_never_counts_twice() -> None:
    key = VerifierKey.parse(W1)
    alias = VerifierKey("alias.example/a", key.kind, key.public)
    with pytest.raises(MalformedError, match="under any name it counts once"):
        parse(f"witness a {W1}\nwitness b {alias}\ngroup g all a b\nquorum g\n")
    with pytest.raises(MalformedError, match="is taken"):
        parse(f"witness a {W1}\nwitness a {W2}\nquorum a\n")


def test_a_vkey_that_is_no_utf8_is_none() -> None:
    raw = f"witness a {W1}\nquorum a\n".encode().replace(b"w1.ex", b"\xff1.ex")
    with pytest.raises(MalformedError, match="key name"):
        TlogPolicy.parse(raw)


def test_there_is_an_end_to_how_many() -> None:
    keys = [witness(f"w{n}").public for n in range(257)]
    many = "".join(f"witness w{n} {key}\n" for n, key in enumerate(keys))
    with pytest.raises(MalformedError, match="more than 256 keys"):
        parse(f"{many}quorum w0\n")
    groups = "".join(f"group g{n} 1 w{n}\n" for n in range(256))
    some = many.rpartition("witness")[0]
    parse(f"{some}{groups}quorum w0\n")
    with pytest.raises(MalformedError, match="more than 256 groups"):
        parse(f"{some}{groups}group g256 1 g255\nquorum w0\n")


def test_any_changed_byte_changes_what_is_said_or_is_refused() -> None:
    """But for names, blanks, comments and URLs, which say nothing."""
    text = f"witness a {W1}\nwitness b {W2}\ngroup g 2 a b\nquorum g\n".encode()
    before = TlogPolicy.parse(text)
    for place in range(len(text)):
        changed = bytearray(text)
        changed[place] ^= 1
        try:
            after = TlogPolicy.parse(bytes(changed))
        except MalformedError:
            continue
        assert after != before, place
