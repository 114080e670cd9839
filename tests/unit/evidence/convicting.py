"""What becomes of a file: it convicts, proves nothing, is false, or is none."""

import pytest

from pcrlog.errors import MalformedError, UncheckedError, VerificationError
from pcrlog.evidence import File, Proven, encode, verify_evidence
from tests.unit.evidence.genuine import KEY


def convicts(file: File) -> Proven:
    return verify_evidence(encode(file), KEY)


def proves_nothing(file: File, words: str) -> None:
    with pytest.raises(UncheckedError, match=words):
        convicts(file)


def is_false(file: File, words: str) -> None:
    with pytest.raises(VerificationError, match=words):
        convicts(file)


def is_malformed(file: File, words: str) -> None:
    with pytest.raises(MalformedError, match=words):
        convicts(file)
