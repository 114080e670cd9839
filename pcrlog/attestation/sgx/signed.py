"""A text that Intel signed, and the chains of certificates that collateral has.

    Intel SGX Root CA              trusted; the copy in each chain says which it is
      Intel SGX TCB Signing        signs TCB info and QE identity
      Intel SGX PCK Platform CA    or Processor CA; signs PCK certificates and their CRL

A chain is two certificates in PEM, the root's copy one of them, in any order. The rules
that it is held to are those of the PCK certificate's own (`pck.verify_path`).
"""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from pcrlog.attestation import certificates
from pcrlog.attestation.certificates import P256, common_name
from pcrlog.attestation.sgx import pck, pem, quote
from pcrlog.encoding import decode_hex, shown
from pcrlog.errors import MalformedError, VerificationError

SIGNING = "Intel SGX TCB Signing"
"""Common name of the one certificate whose key signs what Intel states."""
_IN_CHAIN = 2

Chain = tuple[x509.Certificate, ...]


class Signed(Struct, frozen=True):
    """A text of Intel's, with what came with it. Nothing of it is verified."""

    what: str
    """A name, for messages: "TCB info"."""
    text: str
    signature: bytes
    chain: Chain

    def verify(self, root: x509.Certificate, now: int) -> x509.Certificate:
        """The certificate, valid `now` and issued by `root`, of the key that signed it.

        Raises:
            VerificationError: there is none.
        """
        what = f"the issuer chain of {self.what}"
        signer = verify_chain(what, self.chain, root, now, cas=0).leaf
        if (name := common_name(signer)) != SIGNING:
            message = f"{self.what}: expected {SIGNING} to sign it, found {shown(name)}"
            raise VerificationError(message)
        quote.verify_signature(
            certificates.key_of(signer, P256),
            self.signature,
            self.text.encode(),
            f"{self.what}: its signature is not by the key of {SIGNING}",
        )
        return signer


def parse(what: str, text: str, signature: str, chain: str) -> Signed:
    """A text (JSON), with its signature in hex and the chain of its signer in PEM.

    Raises:
        MalformedError: one of them is not.
    """
    if not text.isascii():
        message = f"{what}: expected JSON in ASCII, as Intel writes it"
        raise MalformedError(message)
    try:
        raw = decode_hex(signature, quote.SIGNATURE)
    except MalformedError as error:
        message = f"the signature of {what}: {error}"
        raise MalformedError(message) from error
    return Signed(what, text, raw, read_chain(chain, f"the issuer chain of {what}"))


def read_chain(text: str, what: str) -> Chain:
    """The two certificates of a chain; `what` is its name, for messages.

    Raises:
        MalformedError: another number of them, or one that cannot be read.
    """
    try:
        found = [certificates.read(der, P256) for der in pem.read(text)]
        for one in found:
            # cryptography reads names and dates when they are first asked for. There is
            # a year 0 in DER, and none in Python.
            one.subject.public_bytes()
            _ = one.not_valid_before_utc, one.not_valid_after_utc
    except (MalformedError, ValueError, TypeError) as error:
        message = f"{what}: {error}"
        raise MalformedError(message) from error
    if len(found) != _IN_CHAIN:
        message = f"{what}: expected {_IN_CHAIN} certificates, found {len(found)}"
        raise MalformedError(message)
    return tuple(found)


def verify_chain(
    what: str, chain: Chain, root: x509.Certificate, now: int, *, cas: int
) -> pck.Path:
    """`pck.verify_path` of certificates that are read already.

    Raises:
        VerificationError: as there; the message begins with `what`.
    """
    ders = [one.public_bytes(Encoding.DER) for one in (*chain, root)]
    try:
        return pck.verify_path(ders[:-1], ders[-1:], now, cas=cas)
    except VerificationError as error:
        message = f"{what}: {error}"
        raise VerificationError(message) from error
