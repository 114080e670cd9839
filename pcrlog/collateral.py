"""Collateral for a document: had from the service that the policy names, if any.

`verify` is handed what a maker publishes of its machines, as it is handed the log's
answers. Which machine a document is of, only the document says; so it is checked first,
as `verify` will check it again, and nobody is asked about one that is not genuine.

`Source` is for programs that verify many documents; it remembers in memory what it is
not given a place for.
"""

import math
from collections.abc import Callable

from pcrlog.attestation import Document
from pcrlog.measurement import PLATFORMS
from pcrlog.policy import Policy
from pcrlog.verification import Report
from pcrlog.verification.checks import Recorder
from pcrlog.verification.document import Asked, check_document, trust_of

_THEN = "then-"
"""Before the name of what is kept for documents of the past."""

Load = Callable[[str], bytes | None]
Store = Callable[[str, bytes], None]


class Source:
    """Asks the services that policies name; keeps what was verified.

    Args:
        load: gives what is kept by a name, or None.
        store: keeps something by a name.
    """

    def __init__(self, load: Load | None = None, store: Store | None = None) -> None:
        kept: dict[str, bytes] = {}
        self._load = load or kept.get
        self._store = store or kept.__setitem__

    def __call__(
        self, document: bytes, policy: Policy, product: str, asked: Asked
    ) -> bytes | None:
        """The collateral of the machine that made a document.

        None: it is not genuine; or its platform has none; or the policy says not where.

        Raises:
            UsageError: the policy does not name the product, or its service is no URL.
            TransportError: the service gives no usable answer.
        """
        rules = policy.product(product)
        if not any(PLATFORMS[name].of_collateral for name in rules.platforms):
            return None
        found = check_document(document, policy, rules, asked, Recorder())
        if found is None:
            return None
        return self._of(found, policy, asked)

    def _of(self, document: Document, policy: Policy, asked: Asked) -> bytes | None:
        service = policy.platforms[document.platform].pccs
        if service is None:
            return None
        from pcrlog import pccs  # noqa: PLC0415 - few platforms have collateral
        from pcrlog.attestation.intel_sgx import SgxDocument  # noqa: PLC0415 - as above

        if not isinstance(document, SgxDocument):
            return None
        trust = trust_of(document.platform, policy, asked)
        if asked.at is None:
            cached = pccs.Cached(service, self._load, self._store)
        else:
            # What held then is kept apart: what is newer must not give way to it.
            cached = pccs.Cached(service, self._load_then, self._store_then)
        return cached.get(document.pck, trust)

    def _load_then(self, name: str) -> bytes | None:
        return self._load(_THEN + name)

    def _store_then(self, name: str, data: bytes) -> None:
        self._store(_THEN + name, data)


def ends_of(report: Report, collateral: bytes | None) -> float:
    """Up to when (unix seconds) a report holds, by the collateral that it rests on.

    A report that rests on none has no such end.
    """
    rests = any(
        check.id == "document.collateral" and check.status == "pass"
        for check in report.checks
    )
    if not rests or collateral is None:
        return math.inf
    from pcrlog import pccs  # noqa: PLC0415 - few platforms have collateral

    return pccs.until(collateral)
