"""Admission: what may become the next entry, rule by rule."""

import pytest

from log_server.problems import problem_of
from pcrlog import limits
from pcrlog.encoding import format_time
from pcrlog.envelope import Envelope, assemble
from pcrlog.errors import PcrlogError
from tests.unit.log_server.parties import (
    COMMIT,
    NOW,
    Log,
    Party,
    registers,
    statement_sha256,
)


def refusal(log: Log, envelope: bytes) -> str:
    decision = log.submit(envelope)
    assert decision.index is None, f"entry {decision.index} was accepted"
    assert decision.detail
    return decision.problem or ""


def test_a_release_by_an_enrolled_provider_is_the_next_entry(
    log: Log, acme: Party
) -> None:
    # registrar, seal, acme, seal
    assert log.accept(acme.release()) == 4


@pytest.mark.parametrize(
    "mangle",
    [
        lambda leaf: leaf + b"\n",
        lambda leaf: leaf.replace(b'"payload":', b'"payload" :'),
        lambda leaf: leaf[:-1],
        lambda leaf: b"p" + leaf,
        lambda _leaf: b"",
        lambda leaf: leaf + b" " * limits.ENVELOPE,
    ],
    ids=["newline", "space", "cut", "seal-like", "empty", "long"],
)
def test_what_is_not_canonical_is_malformed(
    log: Log, acme: Party, mangle: "type[bytes]"
) -> None:
    assert refusal(log, mangle(acme.release())) == "malformed"


def test_a_seal_cannot_be_submitted(log: Log) -> None:
    with log.snapshot() as snapshot:
        seal = snapshot.leaf(1) or b""
    assert seal.startswith(b"pcrlog/seal/v1\n")
    assert refusal(log, seal) == "malformed"


def test_an_unknown_predicate_type_is_refused_and_named(log: Log, acme: Party) -> None:
    release = Envelope.parse(acme.release())
    payload = release.payload.replace(
        b"urn:pcrlog:release:v1", b"urn:pcrlog:release:v9"
    )
    envelope = assemble(payload, release.signatures.items())
    assert refusal(log, envelope) == "unknown-kind"


def test_an_unknown_platform_is_refused(log: Log, acme: Party) -> None:
    envelope = acme.release(platform="future", identity=(("PCR0",),))
    assert refusal(log, envelope) == "malformed"


def test_a_statement_for_another_log_is_refused(log: Log, acme: Party) -> None:
    assert refusal(log, acme.release(log="other.example/pcr")) == "wrong-log"


def test_a_stranger_is_refused(log: Log) -> None:
    assert refusal(log, Party("stranger.example").release()) == "not-authorised"


def test_an_auditor_may_not_release(log: Log, lab: Party) -> None:
    assert refusal(log, lab.release()) == "not-authorised"


def test_a_provider_may_not_audit(log: Log, acme: Party) -> None:
    assert refusal(log, acme.reproduction()) == "not-authorised"


def test_a_name_cannot_be_used_with_anothers_key(log: Log, acme: Party) -> None:
    thief = Party(acme.name)
    assert refusal(log, thief.release()) == "not-authorised"


def test_a_wrong_signature_is_refused(log: Log, acme: Party) -> None:
    release = Envelope.parse(acme.release())
    envelope = assemble(release.payload, [(acme.key.public.keyid, bytes(64))])
    assert refusal(log, envelope) == "not-authorised"


def test_the_same_statement_again_is_the_first_ones_index(
    log: Log, acme: Party
) -> None:
    envelope = acme.release()
    first = log.accept(envelope)
    with log.snapshot() as before:
        size = before.size
    assert log.accept(envelope) == first
    with log.snapshot() as after:
        assert after.size == size, "a known statement makes no new checkpoint"


def test_a_refused_envelope_does_not_stand_in_the_way_of_its_payload(
    log: Log, acme: Party
) -> None:
    right = acme.release()
    payload = Envelope.parse(right).payload
    wrong = assemble(payload, [(acme.key.public.keyid, bytes(64))])
    assert refusal(log, wrong) == "not-authorised"
    assert log.accept(right) == 4


def test_a_refusal_gives_way_when_the_envelope_becomes_right(log: Log) -> None:
    acme = Party("acme.example")
    envelope = acme.release()
    assert refusal(log, envelope) == "not-authorised"
    log.accept(log.identity(acme, "provider"))
    assert log.accept(envelope) == 4


def test_an_identity_cannot_be_replayed(log: Log, acme: Party) -> None:
    again = log.identity(acme, "auditor")
    assert refusal(log, again) == "not-authorised"


class TestConflict:
    def test_other_registers_under_one_version_are_a_conflict(
        self, log: Log, acme: Party
    ) -> None:
        log.accept(acme.release(1))
        assert refusal(log, acme.release(2)) == "conflict"

    def test_a_conflict_that_is_meant_is_taken(self, log: Log, acme: Party) -> None:
        log.accept(acme.release(1))
        envelope = acme.release(2)
        assert refusal(log, envelope) == "conflict"
        log.queue(envelope, conflict_accepted=True)
        log.sequence()
        with log.snapshot() as snapshot:
            assert snapshot.index_of(bytes.fromhex(statement_sha256(envelope)))

    def test_a_conflict_is_seen_within_one_batch(self, log: Log, acme: Party) -> None:
        one, other = acme.release(1), acme.release(2)
        log.queue(one, other)
        log.sequence()
        assert log.accept(one)
        assert refusal(log, other) == "conflict"

    @pytest.mark.parametrize(
        "more",
        [
            {"version": "1.0.1"},
            {"variant": "x86_64"},
            {"product": "acme.example/other"},
        ],
        ids=str,
    )
    def test_another_version_variant_or_product_is_none(
        self, log: Log, acme: Party, more: dict[str, str]
    ) -> None:
        log.accept(acme.release(1))
        assert log.accept(acme.release(2, **more))

    def test_more_registers_that_agree_are_none(self, log: Log, acme: Party) -> None:
        log.accept(acme.release(1))
        subject = registers(1) | {"PCR8": f"sha384:{'8' * 96}"}
        assert log.accept(acme.release(subject=subject))

    def test_a_revoked_measurement_is_no_rival(self, log: Log, acme: Party) -> None:
        log.accept(acme.release(1))
        log.accept(acme.revocation(1))
        assert log.accept(acme.release(2))

    def test_the_registrars_revocation_counts_as_well(
        self, log: Log, acme: Party
    ) -> None:
        log.accept(acme.release(1))
        log.accept(log.registrar.revocation(1, "compromised"))
        assert log.accept(acme.release(2))

    def test_a_withdrawn_release_is_no_rival_once_that_is_in_force(
        self, log: Log, acme: Party
    ) -> None:
        release = acme.release(1)
        log.accept(release)
        log.accept(
            acme.revocation(
                1,
                "withdrawn",
                statement=statement_sha256(release),
                effective=format_time(NOW + 60),
            )
        )
        assert refusal(log, acme.release(2)) == "conflict"
        log.clock.now += 60
        assert log.accept(acme.release(2))

    def test_where_too_much_would_have_to_be_read_a_conflict_is_reported(
        self, log: Log, acme: Party, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log.accept(acme.release(1))
        log.accept(acme.revocation(1))
        monkeypatch.setattr("log_server.admission._LOOKED_AT", 2)
        assert log.accept(acme.release(2))
        monkeypatch.setattr("log_server.admission._LOOKED_AT", 1)
        assert refusal(log, acme.release(3)) == "conflict"

    def test_that_is_so_of_few_that_are_large_too(
        self, log: Log, acme: Party, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log.accept(acme.release(1))
        log.accept(acme.revocation(1))
        read = len(acme.release(1)) + len(acme.revocation(1))
        monkeypatch.setattr("log_server.admission._BYTES_LOOKED_AT", read)
        assert log.accept(acme.release(2))
        monkeypatch.setattr("log_server.admission._BYTES_LOOKED_AT", read - 1)
        assert refusal(log, acme.release(3)) == "conflict"


class TestRevocation:
    def test_it_names_an_own_earlier_release_exactly(
        self, log: Log, acme: Party
    ) -> None:
        release = acme.release(1)
        log.accept(release)
        statement = statement_sha256(release)
        assert log.accept(acme.revocation(1, "withdrawn", statement=statement))

    def test_it_may_name_an_own_audit(self, log: Log, lab: Party) -> None:
        audit = lab.reproduction(1, "fail")
        log.accept(audit)
        statement = statement_sha256(audit)
        assert log.accept(lab.revocation(1, "erroneous", statement=statement))

    def test_a_statement_that_is_not_there_cannot_be_revoked(
        self, log: Log, acme: Party
    ) -> None:
        envelope = acme.revocation(1, "withdrawn", statement="0" * 64)
        assert refusal(log, envelope) == "revocation-target"

    def test_anothers_statement_cannot_be_revoked(
        self, log: Log, acme: Party, lab: Party
    ) -> None:
        release = acme.release(1)
        log.accept(release)
        statement = statement_sha256(release)
        envelope = lab.revocation(1, "withdrawn", statement=statement)
        assert refusal(log, envelope) == "revocation-target"

    def test_other_registers_than_the_statements_are_refused(
        self, log: Log, acme: Party
    ) -> None:
        release = acme.release(1)
        log.accept(release)
        statement = statement_sha256(release)
        envelope = acme.revocation(2, "withdrawn", statement=statement)
        assert refusal(log, envelope) == "revocation-target"

    def test_a_revocation_or_identity_cannot_be_revoked(
        self, log: Log, acme: Party
    ) -> None:
        revocation = acme.revocation(1)
        log.accept(revocation)
        for target in (revocation, log.identity(acme, "provider")):
            envelope = acme.revocation(
                1, "withdrawn", statement=statement_sha256(target)
            )
            assert refusal(log, envelope) == "revocation-target"

    def test_the_registrar_takes_away_only(self, log: Log, acme: Party) -> None:
        release = acme.release(1)
        log.accept(release)
        statement = statement_sha256(release)
        envelope = log.registrar.revocation(1, "withdrawn", statement=statement)
        assert refusal(log, envelope) == "not-authorised"


class TestLimit:
    @pytest.fixture(autouse=True)
    def _two_are_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "STATEMENTS_PER_MEASUREMENT", 2)

    def test_releases_and_passes_about_one_measurement_have_an_end(
        self, log: Log, acme: Party
    ) -> None:
        log.accept(acme.release(1, "1.0.0"))
        log.accept(acme.release(1, "1.0.1"))
        assert refusal(log, acme.release(1, "1.0.2")) == "measurement-full"
        assert log.accept(acme.release(2, "1.0.2")), "another measurement is free"

    def test_the_limit_holds_within_one_batch(self, log: Log, acme: Party) -> None:
        releases = [acme.release(1, f"1.0.{i}") for i in range(3)]
        log.queue(*releases)
        log.sequence()
        with log.snapshot() as snapshot:
            found = [
                snapshot.index_of(bytes.fromhex(statement_sha256(one)))
                for one in releases
            ]
        assert found == [4, 5, None]

    def test_what_speaks_against_is_never_refused_for_it(
        self, log: Log, acme: Party, lab: Party
    ) -> None:
        for i in range(2):
            log.accept(acme.release(1, f"1.0.{i}"))
            log.accept(lab.reproduction(1, recipe=f"{i:064x}"))
        assert refusal(log, lab.reproduction(1)) == "measurement-full"
        assert log.accept(lab.reproduction(1, "fail"))
        assert log.accept(acme.revocation(1))


def test_a_frozen_log_takes_nothing_and_still_knows_what_it_has(
    log: Log, acme: Party
) -> None:
    envelope = acme.release(1)
    index = log.accept(envelope)
    log.sequence(freeze=True)
    assert refusal(log, acme.release(2, "2.0.0")) == "frozen"
    assert log.accept(envelope) == index


def test_every_refusal_of_admission_is_in_the_table_of_problems() -> None:
    for error in PcrlogError.__subclasses__():
        # UsageError is an operator's; the rest are answers.
        if error.__module__ == "log_server.problems":
            assert problem_of(error("x")).slug != "internal"


def test_a_source_review_is_admitted_before_any_release(log: Log, lab: Party) -> None:
    envelope = lab.reproduction(
        platform="source",
        identity=(("commit",),),
        scope="source-review",
        source=None,
        subject={"commit": f"gitCommit:{COMMIT}"},
    )
    assert log.accept(envelope)
