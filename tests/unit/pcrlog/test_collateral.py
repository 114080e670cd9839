"""`pcrlog.collateral`: whom a program asks about the machine of a document."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from pcrlog.collateral import Source
from pcrlog.errors import TransportError, UsageError
from pcrlog.policy import Policy
from pcrlog.verification.document import Asked
from tests.support import machines
from tests.support.machines import SGX, SGX_RULES, TPM, TPM_RULES
from tests.support.memory_log import START
from tests.support.pccs_server import Pccs
from tests.support.scene import DAY, NONCE, PRODUCT, Scene, document

NITRO = "aws-nitro"
ASKED = Asked(START, None, NONCE.ljust(32, b"\0"))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


@pytest.fixture
def service() -> Iterator[Pccs]:
    with Pccs(machines.collateral()) as made:
        yield made


def policy_of(scene: Scene, url: str | None, *platforms: str) -> Policy:
    rules = {**SGX_RULES, **({} if url is None else {"pccs": url})}
    return scene.policy(
        platforms={SGX: rules, TPM: TPM_RULES}, product={"platforms": [*platforms]}
    )


def test_the_service_is_asked_once_for_a_machine(scene: Scene, service: Pccs) -> None:
    source, policy = Source(), policy_of(scene, service.url, SGX)
    first = source(machines.quote(), policy, PRODUCT, ASKED)
    assert first is not None
    assert source(machines.quote(numbers={}), policy, PRODUCT, ASKED) == first
    assert len(service.asked) == 4
    assert Source()(machines.quote(), policy, PRODUCT, ASKED) == first
    assert len(service.asked) == 8


def test_where_it_is_kept_is_the_callers(scene: Scene, service: Pccs) -> None:
    kept: dict[str, bytes] = {}
    policy = policy_of(scene, service.url, SGX)
    found = Source(kept.get, kept.__setitem__)(machines.quote(), policy, PRODUCT, ASKED)
    assert kept == {"00A067110000-processor.json": found}
    service.answers.clear()
    again = Source(kept.get, kept.__setitem__)
    assert again(machines.quote(), policy, PRODUCT, ASKED) == found


def test_it_is_asked_anew_where_what_it_said_is_old(
    scene: Scene, service: Pccs
) -> None:
    source, policy = Source(), policy_of(scene, service.url, SGX)
    source(machines.quote(), policy, PRODUCT, ASKED)
    later = replace(ASKED, now=START + 2 * DAY)
    assert source(machines.quote(), policy, PRODUCT, later) is not None
    assert len(service.asked) == 8


def test_an_archived_document_is_judged_by_what_held_then(
    scene: Scene, service: Pccs
) -> None:
    """What is old now was fresh then."""
    source, policy = Source(), policy_of(scene, service.url, SGX)
    archived = Asked(START + 99 * DAY, START, ASKED.nonce)
    assert source(machines.quote(), policy, PRODUCT, archived) is not None
    service.answers.clear()
    assert source(machines.quote(), policy, PRODUCT, archived) is not None


def test_a_service_that_says_nothing_is_no_answer(scene: Scene, service: Pccs) -> None:
    service.answers.clear()
    with pytest.raises(TransportError, match="404"):
        Source()(machines.quote(), policy_of(scene, service.url, SGX), PRODUCT, ASKED)


def test_nobody_is_asked_where_there_is_nothing_to_ask(
    scene: Scene, service: Pccs
) -> None:
    def had(data: bytes, *platforms: str, url: str | None = service.url) -> object:
        policy = policy_of(scene, url, *platforms)
        return Source()(data, policy, PRODUCT, ASKED)

    assert had(machines.quote(), SGX, url=None) is None
    assert had(document(), NITRO) is None
    assert had(document(), SGX, NITRO) is None
    assert had(machines.attested(), SGX, TPM) is None
    assert had(machines.quote(), TPM) is None
    assert had(b"hello", SGX) is None
    changed = bytearray(machines.quote())
    changed[200] ^= 1
    assert had(bytes(changed), SGX) is None
    assert service.asked == []


def test_a_service_is_of_the_platform_that_it_is_named_for(
    scene: Scene, service: Pccs
) -> None:
    """No policy file can name one of another's; whoever makes a policy by hand can."""
    policy = policy_of(scene, service.url, SGX, NITRO)
    rules = replace(policy.platforms[NITRO], pccs=service.url)
    policy = replace(policy, platforms={**policy.platforms, NITRO: rules})
    assert Source()(document(), policy, PRODUCT, ASKED) is None
    assert service.asked == []


def test_a_product_that_the_policy_does_not_name_is_refused(scene: Scene) -> None:
    policy = policy_of(scene, None, SGX)
    with pytest.raises(UsageError):
        Source()(machines.quote(), policy, "acme.example/other", ASKED)


def test_a_service_over_plain_http_elsewhere_is_refused(scene: Scene) -> None:
    policy = policy_of(scene, "http://pccs.example/sgx/certification/v4", SGX)
    with pytest.raises(UsageError, match="plain http"):
        Source()(machines.quote(), policy, PRODUCT, ASKED)
