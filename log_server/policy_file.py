"""The beginning of a relying party's policy for a log: what only its operator knows.

It says how to know the log, and trusts nobody's products yet: `pcrlog policy add` does.
"""

from collections.abc import Callable

from log_server.config import Config, Quorum
from log_server.databases import log_database
from log_server.registrar import root_keyid
from log_server.store import Store
from pcrlog.encoding import format_time
from pcrlog.errors import UsageError

_YEAR = 365 * 86_400

_SKELETON = """\
# Whom this policy trusts, and for what; it is yours to change.
# Add a product:   pcrlog policy add FILE acme.example/wallet
# Read it in words: pcrlog policy explain FILE
format = "pcrlog-policy/v1"
version = 1
valid_until = "{valid_until}"
clock_skew = "300s"
clock = "local"                 # or "attested": trust the document's signed time
archives = false                # true: documents of the past may be proven
distrust = {{ statements = [], keys = [], measurements = [] }}

[[log]]
vkey = "{vkey}"
url = "{url}"
registrar = "{registrar}"
max_age = "24h"                 # how long a revocation can be hidden from you, at most
{witnesses}
{index_monitors}

[platforms.aws-nitro]
roots = ["builtin"]
max_age = "5m"
nonce = "required"              # or "optional"
operator = "aws"
"""

_NO_WITNESSES = """\
# Nobody but the log vouches for its one history until you name witnesses:
# witnesses = { quorum = 2, keys = ["w1.example/a+...", "w2.example/b+...", "w3..."] }
witnesses = "none\""""
_NO_INDEX_MONITORS = """\
# Nobody but the log vouches for the index being complete until you name who recomputes
# it:
# index_monitors = { quorum = 1, keys = ["m1.example/m+..."] }
index_monitors = "none\""""
_WITNESSES = "# The log's own choice. Name those of them that you trust, and others.\n"


def policy_skeleton(config: Config, url: str, clock: Callable[[], int]) -> bytes:
    """A policy file for a log that is found under `url`.

    Raises:
        UsageError: the url is not one, or the log has no entry 0.
    """
    if not url.startswith(("https://", "http://")) or any(c in url for c in '"\\ \n'):
        message = f"url is {url!a}, want https://HOST/PATH"
        raise UsageError(message)
    store = Store(log_database(config))
    try:
        with store.published() as snapshot:
            registrar = root_keyid(snapshot, config.origin)
    finally:
        store.close()
    settings = config.settings
    text = _SKELETON.format(
        valid_until=format_time(clock() + _YEAR),
        vkey=config.vkey(),
        url=url.rstrip("/"),
        registrar=registrar,
        witnesses=_quorum("witnesses", settings.witnesses) or _NO_WITNESSES,
        index_monitors=_quorum("index_monitors", settings.index_monitors)
        or _NO_INDEX_MONITORS,
    )
    return text.encode()


def _quorum(name: str, quorum: Quorum | None) -> str:
    if quorum is None:
        return ""
    keys = "".join(f'    "{member.vkey}",\n' for member in quorum.members)
    return f"{_WITNESSES}{name} = {{ quorum = {quorum.quorum}, keys = [\n{keys}] }}"
