"""`pcrlog identity`: enrolling, taking away alone, and asking the registrar."""

import json
import re

import msgspec
import pytest

from pcrlog.envelope import assemble, pre_authentication_encoding
from pcrlog.predicates import Identity
from pcrlog.request import Request
from tests.support.memory_log import active, key
from tests.support.scene import PROVIDER
from tests.unit.cli.world import World

ACME, SECOND = key(PROVIDER), key("second")
LOG = "--policy policy.toml"


@pytest.fixture
def two_keys(world: World) -> World:
    """The provider has a second key."""
    world.write_key("second.key", SECOND)
    signers = [world.log.enrol, ACME]
    rows = active(ACME, SECOND)
    world.log.identify(PROVIDER, rows, signers, roles=["provider"])
    world.log.seal()
    return world


def state(world: World) -> set[str]:
    return set(world.log.authority.state(PROVIDER, len(world.log.leaves)).keys)


def newest(world: World) -> Identity:
    predicate = world.last().predicate
    assert isinstance(predicate, Identity)
    return predicate


# --- request -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "log", ["--origin log.example/pcr", LOG, "--log https://log.example/pcr"]
)
def test_a_request_proves_that_its_keys_are_held(world: World, log: str) -> None:
    world.run("keys new new.key")
    ran = world.run(f"identity request --name new.example --key new.key -o r {log}")
    assert ran.status == 0, ran.err
    request = Request.parse((world.folder / "r").read_bytes())
    assert (request.log, request.name) == ("log.example/pcr", "new.example")
    assert len(request.spki) == 1


def test_a_request_is_for_some_log(world: World) -> None:
    ran = world.run("identity request --name new.example --key acme.key -o r")
    assert ran.status == 2
    assert "--origin" in ran.err


def test_a_name_has_a_form(world: World) -> None:
    ran = world.run(f"identity request --name NEW --key acme.key -o r {LOG}")
    assert ran.status == 2


# --- taking away ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["--name acme.example", "--as acme.example", ""])
def test_a_key_retires_itself_alone(two_keys: World, name: str) -> None:
    ran = two_keys.run(f"identity retire --key acme.key {LOG} {name}")
    assert ran.status == 0, ran.err
    assert state(two_keys) == {SECOND.public.keyid}
    assert newest(two_keys).issuer == PROVIDER


def test_any_active_key_retires_another(two_keys: World) -> None:
    keyid = SECOND.public.keyid
    ran = two_keys.run(f"identity retire --key acme.key --retire {keyid} {LOG}")
    assert ran.status == 0
    assert state(two_keys) == {ACME.public.keyid}


def test_a_key_to_retire_can_be_named_by_its_file(two_keys: World) -> None:
    words = f"identity retire --key acme.key --retire second.key {LOG}"
    assert two_keys.run(words).status == 0
    assert state(two_keys) == {ACME.public.keyid}


def test_the_last_key_goes_with_a_word_of_warning(world: World) -> None:
    ran = world.run(f"identity retire --key acme.key {LOG}")
    assert ran.status == 0
    assert "only through the registrar" in " ".join(ran.err.split())


def test_a_retired_key_cannot_speak(two_keys: World) -> None:
    two_keys.run(f"identity retire --key acme.key {LOG}")
    ran = two_keys.run(f"identity retire --key acme.key {LOG}")
    assert ran.status == 2
    assert "none of" in ran.err


def test_only_active_keys_can_be_retired(two_keys: World) -> None:
    words = f"identity retire --key acme.key --retire {'ab' * 32} {LOG}"
    assert two_keys.run(words).status == 2


def test_without_a_policy_the_name_has_to_be_said(two_keys: World) -> None:
    words = "identity retire --key acme.key --log https://log.example/pcr"
    assert two_keys.run(words).status == 2
    assert two_keys.run(words, f"--name {PROVIDER}").status == 0
    assert state(two_keys) == {SECOND.public.keyid}


def test_a_key_declares_itself_compromised_from_here_on(two_keys: World) -> None:
    index = two_keys.log.release(f"{PROVIDER}/wallet", "1.0.0", {**REGISTERS})
    two_keys.log.seal()
    assert two_keys.run(f"identity compromise --key acme.key {LOG}").status == 0
    assert state(two_keys) == {SECOND.public.keyid}
    [row] = [k for k in newest(two_keys).keys if k.keyid == ACME.public.keyid]
    assert row.status == "compromised"
    assert not two_keys.log.authority.is_void(two_keys.log.entries[index])


REGISTERS = {f"PCR{n}": f"sha384:{n + 1:096x}" for n in range(3)}


def test_an_identity_can_be_made_on_one_machine_and_signed_on_another(
    two_keys: World,
) -> None:
    two_keys.run(f"identity retire --key acme.key {LOG} --output i.json")
    assert two_keys.run(f"sign i.json --key second.key {LOG}").status == 2
    assert two_keys.run(f"sign i.json --key acme.key {LOG}").status == 0
    assert state(two_keys) == {SECOND.public.keyid}


# --- the registrar's own keys ---------------------------------------------------------

AS_REGISTRAR = f"{LOG} --as registrar --key root.key"


@pytest.fixture
def registry(world: World) -> World:
    """A world that has the root key at hand, and a new key."""
    world.write_key("root.key", world.log.root)
    world.write_key("new.key", key("new enrol"))
    return world


def uses(world: World) -> dict[str, str | None]:
    return dict(world.log.authority.state("registrar", len(world.log.leaves)).keys)


def test_the_root_key_gives_the_registrar_a_new_enrol_key(registry: World) -> None:
    words = f"identity rotate {AS_REGISTRAR} --add new.key --use enrol"
    ran = registry.run(f"{words} --retire enrol.key")
    assert ran.status == 0, ran.err
    log = registry.log
    assert uses(registry) == {
        log.root.public.keyid: "root",
        key("new enrol").public.keyid: "enrol",
    }
    shown = registry.run(f"identity show registrar {LOG}")
    assert re.search(r"active +[0-9a-f]{64}  root\n", shown.out)
    assert re.search(r"retired +[0-9a-f]{64}  enrol\n", shown.out)


def test_the_root_key_declares_an_enrol_key_compromised(registry: World) -> None:
    words = f"identity compromise {AS_REGISTRAR} --compromised enrol.key --since 2"
    assert registry.run(words).status == 0
    assert uses(registry) == {registry.log.root.public.keyid: "root"}
    late = registry.log.entries[2]
    assert registry.log.authority.is_void(late)


def test_the_root_key_retires_an_enrol_key(registry: World) -> None:
    words = f"identity retire {AS_REGISTRAR} --retire enrol.key"
    assert registry.run(words).status == 0
    assert uses(registry) == {registry.log.root.public.keyid: "root"}


def test_an_enrol_key_does_not_change_the_registrar(registry: World) -> None:
    words = f"identity rotate {LOG} --as registrar --key enrol.key --add new.key"
    ran = registry.run(f"{words} --use enrol")
    assert ran.status == 4
    assert "one active root key" in " ".join(ran.err.split())


@pytest.mark.parametrize(
    "words",
    [f"{AS_REGISTRAR} --add new.key", f"{LOG} --key acme.key --add new.key --use root"],
    ids=["registrar", "name"],
)
def test_use_goes_with_the_registrars_keys(registry: World, words: str) -> None:
    ran = registry.run(f"identity rotate {words} -o r")
    assert ran.status == 2
    assert "--use root or --use enrol" in ran.err


# --- giving, with the registrar ------------------------------------------------------


def cosigned(world: World, name: str) -> int:
    """What the registrar makes of a request."""
    request = Request.parse((world.folder / name).read_bytes())
    rotation = request.rotation
    assert rotation is not None
    enrol = world.log.enrol
    signed = enrol.sign(pre_authentication_encoding(rotation.payload))
    signatures = {**rotation.signatures, enrol.public.keyid: signed}
    index = world.log.append(assemble(rotation.payload, signatures.items()))
    world.log.seal()
    return index


def test_a_rotation_is_cosigned_by_the_registrar(world: World) -> None:
    world.write_key("second.key", SECOND)
    ran = world.run(f"identity rotate --key acme.key --add second.key {LOG} -o r")
    assert ran.status == 0, ran.err
    request = Request.parse((world.folder / "r").read_bytes())
    assert request.spki == (SECOND.public.spki,)
    cosigned(world, "r")
    assert state(world) == {ACME.public.keyid, SECOND.public.keyid}
    pinned = world.log.authority.pinned(PROVIDER, [ACME.public.keyid])
    assert SECOND.public.keyid in pinned


def test_a_rotation_can_retire_the_old_key(world: World) -> None:
    world.write_key("second.key", SECOND)
    words = f"--add second.key --retire acme.key {LOG} -o r"
    assert world.run(f"identity rotate --key acme.key {words}").status == 0
    cosigned(world, "r")
    assert state(world) == {SECOND.public.keyid}


def test_a_retired_key_returns_by_the_registrar_and_that_key(two_keys: World) -> None:
    two_keys.run(f"identity retire --key acme.key --retire second.key {LOG}")
    words = f"identity rotate --key acme.key --add second.key {LOG} -o r"
    assert two_keys.run(words).status == 0
    cosigned(two_keys, "r")
    assert state(two_keys) == {ACME.public.keyid, SECOND.public.keyid}


def test_a_rotation_adds_something(world: World) -> None:
    ran = world.run(f"identity rotate --key acme.key {LOG} -o r")
    assert ran.status == 2


def test_dating_a_compromise_back_needs_the_registrar(two_keys: World) -> None:
    words = f"identity compromise --key acme.key --since 3 {LOG}"
    assert two_keys.run(words).status == 2
    assert two_keys.run(words, "-o r").status == 0
    cosigned(two_keys, "r")
    assert state(two_keys) == {SECOND.public.keyid}


def test_condemning_another_key_needs_the_registrar(two_keys: World) -> None:
    words = f"identity compromise --key acme.key --compromised second.key {LOG}"
    assert two_keys.run(words).status == 2
    assert two_keys.run(words, "-o r").status == 0
    cosigned(two_keys, "r")
    assert state(two_keys) == {ACME.public.keyid}


# --- show ----------------------------------------------------------------------------


def test_an_identity_is_shown_with_its_keys_and_roles(two_keys: World) -> None:
    two_keys.run(f"identity retire --key acme.key {LOG}")
    ran = two_keys.run(f"identity show {PROVIDER} {LOG} --json")
    shown = json.loads(ran.out)
    assert shown["roles"] == ["provider"]
    assert shown["active"] == [SECOND.public.keyid]
    assert {row["status"] for row in shown["keys"]} == {"active", "retired"}
    assert shown["proven"] is True


def test_nobody_has_no_identity(world: World) -> None:
    assert world.run(f"identity show nobody.example {LOG}").status == 4


def test_a_registrar_that_is_not_the_policys_is_refuted(world: World) -> None:
    world.write_policy(
        log={"witnesses": "none", "index_monitors": "none", "registrar": "ab" * 32}
    )
    ran = world.run(f"identity show {PROVIDER} {LOG}")
    assert ran.status == 4
    assert "entry 0 has no root key" in ran.err


def test_a_key_that_the_name_never_had_cannot_be_condemned(world: World) -> None:
    words = f"identity compromise --key acme.key --compromised {'ab' * 32} {LOG} -o r"
    ran = world.run(words)
    assert ran.status == 2
    assert "never had the key" in ran.err


def test_a_log_without_an_enrol_key_takes_no_request(world: World) -> None:
    log = world.log
    rows = [*active(log.root, use="root")]
    log.identify("registrar", rows, [log.root])
    log.seal()
    world.write_key("second.key", SECOND)
    ran = world.run(f"identity rotate --key acme.key --add second.key {LOG} -o r")
    assert ran.status == 4
    assert "no active enrol key" in ran.err


def test_what_is_unusual_about_a_key_is_shown(world: World) -> None:
    log = world.log
    log.identify(PROVIDER, active(ACME, SECOND), [log.enrol], roles=["provider"])
    log.seal()
    words = world.run(f"identity show {PROVIDER} {LOG}").out.split()
    assert "by the registrar alone" in " ".join(words)
    world.run(f"identity compromise --key acme.key {LOG} --name {PROVIDER}")
    shown = world.run(f"identity show {PROVIDER} {LOG}").out
    assert "compromised" in shown
    assert "since entry 7" in shown


def test_a_policy_that_names_nobody_does_not_tell_whose_key_it_is(
    world: World,
) -> None:
    text = (world.folder / "policy.toml").read_text()
    head = text.partition("products = ")[0]
    world.write("policy.toml", head.encode())
    ran = world.run(f"identity retire --key acme.key {LOG}")
    assert ran.status == 2
    assert "--as NAME" in ran.err


def test_an_identity_that_was_voided_is_shown_as_void(world: World) -> None:
    log = world.log
    log.identify(PROVIDER, active(ACME, SECOND), [log.enrol, ACME], roles=["provider"])
    lost = [
        row
        if row.keyid != ACME.public.keyid
        else msgspec.structs.replace(row, status="compromised", since=5)
        for row in active(ACME, SECOND)
    ]
    log.identify(PROVIDER, lost, [log.enrol, SECOND], roles=["provider"])
    log.seal()
    shown = world.run(f"identity show {PROVIDER} {LOG}").out
    assert "void" in shown
    ran = world.run(f"identity retire --key second.key {LOG} --name {PROVIDER}")
    assert ran.status == 2
