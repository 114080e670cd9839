"""`pcrlog policy signers|sign|update`: a policy that is followed for years."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cli import files
from pcrlog.attestation.simulator import Simulator
from pcrlog.policy import Policy
from pcrlog.policy_update import parse_updates
from tests.support.memory_log import key
from tests.support.scene import PRODUCT, pem, toml
from tests.unit.cli.world import Ran, World

NAMES = ("a", "b", "c")
TABLES = f"""[platforms.aws-nitro]
roots = ["builtin"]  # AWS

[products."{PRODUCT}"]
platforms = ["aws-nitro"]
links = [1, 2]
"""


@pytest.fixture
def published(world: World) -> World:
    """policy.toml, which two of three keys may replace, and new.toml, not signed."""
    world.write("policy.toml", world.log.policy(products=TABLES).encode())
    for name in (*NAMES, "stranger"):
        world.write_key(f"{name}.key", key(f"policy {name}"))
    keys = " ".join(f"--key {name}.key" for name in NAMES)
    ran = world.run(f"policy signers policy.toml --quorum 2 {keys}")
    assert ran.status == 0, ran.err
    world.write("new.toml", read(world, "policy.toml"))
    assert world.run(f"policy add new.toml {PRODUCT} --links 1,2,3").status == 0
    return world


def read(world: World, name: str) -> bytes:
    return (world.folder / name).read_bytes()


def version(world: World, name: str = "policy.toml") -> int:
    return Policy.parse(read(world, name)).version


def signed(
    world: World, file: str = "new.toml", out: str = "up", keys: str = "ab"
) -> Ran:
    words = " ".join(f"--key {name}.key" for name in keys)
    return world.run(f"policy sign {file} --after policy.toml {words} -o {out}")


# --- signers --------------------------------------------------------------------------


def test_who_may_sign_is_named_in_a_table_of_its_own(published: World) -> None:
    policy = Policy.parse(read(published, "policy.toml"))
    assert policy.version == 2
    assert policy.successor is not None
    assert (policy.successor.least, policy.successor.url) == (2, None)
    wanted = [key(f"policy {name}").public.keyid for name in NAMES]
    assert list(policy.successor.keys) == wanted
    said = published.run("policy explain policy.toml").out
    assert "may be followed by one more, signed by 2 of 3 keys" in " ".join(
        said.split()
    )


def test_the_same_signers_again_change_nothing_and_others_take_their_place(
    published: World,
) -> None:
    before = read(published, "policy.toml")
    keys = " ".join(f"--key {name}.key" for name in NAMES)
    words = f"policy signers policy.toml {keys}"
    assert published.run(words, "--quorum 2").status == 0
    assert read(published, "policy.toml") == before
    url = "https://acme.example/updates"
    ran = published.run(words, f"--quorum 1 --url {url} --json")
    found = json.loads(ran.out)
    policy = Policy.parse(read(published, "policy.toml"))
    assert policy.successor is not None
    assert (policy.successor.least, policy.successor.url) == (1, url)
    assert (found["version"], found["sha256"]) == (3, policy.sha256)
    assert read(published, "policy.toml").count(b"[successor]") == 1
    lint = published.run("policy lint policy.toml").out
    assert "one key alone may replace the whole policy" in lint


def test_comments_of_the_next_table_stay(published: World) -> None:
    text = read(published, "policy.toml").decode()
    head, _, table = text.partition("[successor]\n")
    start, _, rest = head.partition("[[log]]")
    made = f"{start}[successor]\n{table}\n# whose log\n\n[[log]]{rest}"
    published.write("p.toml", made.encode())
    ran = published.run("policy signers p.toml --quorum 1 --key a.key")
    assert ran.status == 0, ran.err
    assert "follows nobody's updates" in " ".join(ran.err.split())
    after = read(published, "p.toml")
    assert b"\n# whose log\n\n[[log]]" in after
    assert after.count(b"[successor]") == 1


@pytest.mark.parametrize("words", ["signers - --quorum 1 --key a.key", "update - up"])
def test_what_is_piped_in_cannot_be_changed(
    published: World, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed(published)
    data = read(published, "policy.toml")
    monkeypatch.setattr(
        "cli.files.read",
        lambda path, most, real=files.read: data if path == "-" else real(path, most),
    )
    ran = published.run(f"policy {words}")
    assert ran.status == 2
    assert "standard input cannot be changed" in ran.err


@pytest.mark.parametrize(
    "words",
    ["--quorum 3 --key a.key --key b.key", "--quorum 2 --key a.key --key a.key",
     "--quorum 0 --key a.key", "--quorum 1 --key a.key --url http://x.example",
     "--quorum 1 --key nothing.pub", "--quorum 1"],
)  # fmt: skip
def test_signers_that_make_no_policy_change_nothing(
    published: World, words: str
) -> None:
    before = read(published, "policy.toml")
    assert published.run("policy signers policy.toml", words).status == 2
    assert read(published, "policy.toml") == before


def test_signers_in_a_table_on_one_line_are_left_to_their_author(
    published: World,
) -> None:
    text = read(published, "policy.toml").decode()
    head, _, table = text.partition("[successor]\n")
    [first, *_] = [one for one in table.split('"') if len(one) > 40]
    inline = f'successor = {{ quorum = 1, keys = ["{first}"] }}\n'
    published.write("p.toml", (inline + head).encode())
    ran = published.run("policy signers p.toml --quorum 1 --key b.key")
    assert ran.status == 2
    assert "edit it there" in ran.err


# --- sign -----------------------------------------------------------------------------


def test_without_a_key_it_says_what_would_be_signed(published: World) -> None:
    ran = published.run("policy sign new.toml --after policy.toml")
    assert ran.status == 0
    assert ran.out.startswith("not signed: version 3 after policy.toml")
    assert f"- Product {PRODUCT}: must be proven: 1 attestation, 2 provider" in ran.out
    assert "+ Product" in ran.out
    assert "0 of 2 by keys of policy.toml, 0 of 2 by its own" in ran.out
    assert "Next: pcrlog policy sign new.toml --after policy.toml --key KEY" in ran.out


def test_what_is_signed_has_the_version_and_the_digest_that_come_next(
    published: World,
) -> None:
    ran = signed(published)
    assert ran.status == 0, ran.err
    [update] = parse_updates(read(published, "up"))
    before = Policy.parse(read(published, "policy.toml"))
    after = Policy.parse(update.unverified_policy)
    assert (after.version, after.previous) == (3, before.sha256)
    assert "2 of 2 by keys of policy.toml, 2 of 2 by its own" in ran.out
    assert "Next: pcrlog policy update policy.toml up" in ran.out
    # Nothing else of the text changed.
    text = update.unverified_policy.decode()
    line = f'previous = "{before.sha256}"\n'
    assert text.replace(line, "") == read(published, "new.toml").decode()


def test_one_key_after_the_other_comes_to_the_same(published: World) -> None:
    signed(published)
    first = signed(published, out="one", keys="b")
    assert "1 of 2 by keys" in first.out
    assert "Next: pcrlog policy sign one --after policy.toml --key KEY" in first.out
    assert published.run("policy update policy.toml one").status == 4
    ran = signed(published, file="one", out="two", keys="a")
    assert ran.status == 0, ran.err
    assert read(published, "two") == read(published, "up")


def test_signing_again_changes_only_who_signed(published: World) -> None:
    ran = signed(published, file="new.toml")
    again = signed(published, file="up", out="again", keys="c")
    found = json.loads(
        published.run("policy sign again --after policy.toml --json").out
    )
    assert found["signatures"] == {
        "own_signed": 3, "own_want": 2, "signed": 3, "want": 2
    }  # fmt: skip
    assert found["file"] is None
    assert ran.out.split("sha256")[1].split()[0] == found["sha256"]
    assert again.status == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "new.toml --after policy.toml --key stranger.key -o x",
            "neither policy names",
        ),
        ("new.toml --after policy.toml --key a.key", "--key and -o go together"),
        ("new.toml --after policy.toml -o x", "--key and -o go together"),
        ("new.toml --after plain.toml --key a.key -o x", "names nobody who may sign"),
        ("twice --after policy.toml --key a.key -o x", "found 2"),
    ],
)
def test_what_cannot_be_signed_is_not_written(
    published: World, words: str, told: str
) -> None:
    signed(published)
    published.write("twice", 2 * read(published, "up"))
    text = read(published, "policy.toml").partition(b"[successor]")[0]
    published.write("plain.toml", text)
    ran = published.run(f"policy sign {words}")
    assert ran.status == 2
    assert told in " ".join(ran.err.split())
    assert not (published.folder / "x").exists()


def test_a_signature_that_is_wrong_is_not_added_to(published: World) -> None:
    signed(published, keys="a")
    line = read(published, "up")
    place = line.index(b'"sig":"') + 20
    other = b"A" if line[place : place + 1] != b"A" else b"B"
    published.write("up", line[:place] + other + line[place + 1 :])
    assert signed(published, file="up", out="more", keys="b").status == 4


def test_what_was_signed_for_another_policy_is_not_signed_for_this(
    published: World,
) -> None:
    signed(published)
    published.write("other.toml", read(published, "policy.toml") + b"# another\n")
    ran = published.run("policy sign up --after other.toml")
    assert ran.status == 4
    assert "expected version 3 after" in ran.err


def test_whoever_signs_is_told_of_another_root(published: World) -> None:
    """No demand has other words, and all of them another meaning."""
    text = read(published, "policy.toml").decode()
    one, other = (
        toml(pem(Simulator(name).root_der)) for name in (b"theirs", b"the thief's")
    )
    published.write("policy.toml", text.replace('"builtin"', one).encode())
    published.write("new.toml", text.replace('"builtin"', other).encode())
    ran = published.run("policy sign new.toml --after policy.toml")
    assert ran.out.count("Platform aws-nitro: the sha256 of that root is") == 2


def test_a_proposal_cannot_move_the_cursor(published: World) -> None:
    text = read(published, "policy.toml").decode()
    evil = text.replace('url = "', r'url = "\u001b[1A\u009b2K')
    published.write("new.toml", evil.encode())
    ran = published.run("policy sign new.toml --after policy.toml")
    assert "\x1b" not in ran.out
    assert "\x9b" not in ran.out
    assert r"+ Log log.example/pcr: at \x1b[1A\x9b2Khttps://" in ran.out


def test_a_comment_alone_is_no_demand(published: World) -> None:
    published.write("new.toml", b"# other\n" + read(published, "policy.toml"))
    ran = published.run("policy sign new.toml --after policy.toml")
    assert "no demand changes: only its version, and perhaps comments" in ran.out


@pytest.mark.parametrize("before", ["previous", "version"])
def test_a_line_inside_a_string_is_not_edited(published: World, before: str) -> None:
    text = read(published, "policy.toml").decode()
    lines = f'"""x\n{before} = 1\nx"""'
    head = f"[platforms.aws-nitro]\noperator = {lines}"
    made = text.replace("[platforms.aws-nitro]", head)
    if before == "version":  # the first such line is the one in the string
        table, _, rest = made.partition("[[log]]")
        inline = "platforms.aws-nitro.roots = ['builtin']\n"
        inline += f"platforms.aws-nitro.operator = {lines}\n"
        body = rest.partition("[platforms")[0]
        made = inline + table + "[[log]]" + body
    published.write("new.toml", made.encode())
    Policy.parse(made.encode())
    assert published.run("policy sign new.toml --after policy.toml").status == 2


# --- update ---------------------------------------------------------------------------


def test_a_policy_follows_its_successors(published: World) -> None:
    assert signed(published).status == 0
    first = read(published, "policy.toml")
    (published.folder / "policy.toml").chmod(0o640)
    ran = published.run("policy update policy.toml up")
    assert ran.status == 0, ran.err
    assert ran.out.startswith("updated: policy.toml, from version 2 to 3")
    assert "- Product acme.example/wallet: must be proven: 1 attestation" in ran.out
    assert version(published) == 3
    assert (published.folder / "policy.toml").stat().st_mode & 0o777 == 0o640
    # A third one, in the same file of updates, also for those who have the first.
    published.run("policy add new.toml acme.example/other")
    assert signed(published, out="next").status == 0
    published.write("all", read(published, "up") + read(published, "next"))
    published.write("first.toml", first)
    found = json.loads(published.run("policy update first.toml all --json").out)
    assert (found["before"], found["version"], found["steps"]) == (2, 4, 2)
    assert published.run("policy update policy.toml all").status == 0
    assert read(published, "policy.toml") == read(published, "first.toml")


def test_whoever_is_up_to_date_is_told(published: World) -> None:
    signed(published)
    published.run("policy update policy.toml up")
    before = read(published, "policy.toml")
    ran = published.run("policy update policy.toml up")
    assert ran.status == 0
    assert ran.out == "up to date: policy.toml is version 3; there is none after it\n"
    assert read(published, "policy.toml") == before


def test_a_link_goes_on_to_lead_to_the_policy(published: World) -> None:
    signed(published)
    (published.folder / "etc").mkdir()
    link = published.folder / "policy.toml"
    link.rename(published.folder / "etc" / "policy.toml")
    link.symlink_to("etc/policy.toml")
    assert published.run("policy update policy.toml up").status == 0
    assert link.is_symlink()
    assert version(published, "etc/policy.toml") == 3


def test_a_slow_update_does_not_undo_a_later_one(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed(published)
    first, old = read(published, "policy.toml"), read(published, "up")
    published.run("policy update policy.toml up")
    published.run("policy add new.toml acme.example/other")
    signed(published, out="next")
    third = parse_updates(read(published, "next"))[0].unverified_policy
    published.write("policy.toml", first)

    def fetch(_: object, _source: str) -> bytes:
        published.write("policy.toml", third)  # another run went on
        return old

    monkeypatch.setattr("cli.policy_update._fetch", fetch)
    ran = published.run("policy update policy.toml https://acme.example/updates")
    assert ran.status == 3
    assert "changed by another command meanwhile" in ran.err
    assert read(published, "policy.toml") == third


def test_the_old_policy_stays_where_it_is_if_asked(published: World) -> None:
    signed(published)
    before = read(published, "policy.toml")
    assert published.run("policy update policy.toml up -o later.toml").status == 0
    assert read(published, "policy.toml") == before
    assert version(published, "later.toml") == 3
    ran = published.run("policy update policy.toml up -o later.toml")
    assert ran.status == 2
    assert "later.toml exists" in ran.err


@pytest.mark.parametrize(
    ("given", "status"),
    [(b"", 4), (b"{}\n", 4), (b"no", 4), (b'{"payload":""}\n', 4)],
)
def test_what_is_no_update_leaves_the_policy_as_it_is(
    published: World, given: bytes, status: int
) -> None:
    before = read(published, "policy.toml")
    published.write("up", given)
    assert published.run("policy update policy.toml up").status == status
    assert read(published, "policy.toml") == before


def test_a_policy_that_was_changed_where_it_lies_follows_nobody(
    published: World,
) -> None:
    signed(published)
    ran = published.run(f"policy add policy.toml {PRODUCT} --channel required")
    assert "follows nobody's updates" in " ".join(ran.err.split())
    ran = published.run("policy update policy.toml up")
    assert ran.status == 4
    assert "another version 3 than yours" in ran.err


def test_from_where_is_said_or_in_the_policy(published: World) -> None:
    ran = published.run("policy update policy.toml")
    assert ran.status == 2
    assert "updates from where?" in ran.err
    assert published.run("policy update policy.toml nothing").status == 2


# --- over the network -----------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Answers with the bytes of a file, or with another status."""

    status = 200
    body = b""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Handler) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_updates_are_fetched(published: World, server: Server) -> None:
    signed(published)
    server.body = (Path(published.folder) / "up").read_bytes()
    url = f"http://127.0.0.1:{server.server_port}/policy.updates"
    ran = published.run(f"policy update policy.toml {url}")
    assert ran.status == 0, ran.err
    assert version(published) == 3


@pytest.mark.parametrize("status", [404, 301, 500])
def test_a_server_without_updates_leaves_the_policy_as_it_is(
    published: World, server: Server, status: int
) -> None:
    server.status = status
    url = f"http://127.0.0.1:{server.server_port}/policy.updates"
    ran = published.run(f"policy update policy.toml {url}")
    assert ran.status == 3
    assert f"answered {status}, want 200" in ran.err
    assert version(published) == 2


def test_more_than_a_file_of_updates_has_is_not_read(
    published: World, server: Server
) -> None:
    server.body = b"x" * (2_097_152 + 1)
    url = f"http://127.0.0.1:{server.server_port}/policy.updates"
    assert published.run(f"policy update policy.toml {url}").status == 3


def test_the_policy_itself_says_where(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fetch(_: object, source: str) -> bytes:
        asked.append(source)
        return read(published, "up")

    monkeypatch.setattr("cli.policy_update._fetch", fetch)
    keys = " ".join(f"--key {name}.key" for name in NAMES)
    url = "https://acme.example/updates"
    published.run(f"policy signers policy.toml --quorum 2 {keys} --url {url}")
    published.write("new.toml", read(published, "policy.toml"))
    assert signed(published).status == 0
    ran = published.run("policy update policy.toml")
    assert ran.status == 0, ran.err
    assert asked == [url]
    assert "no demand changes: only its version" in ran.out
