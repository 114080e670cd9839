"""A seal whose index root is not that of the leaves before it."""

from pcrlog import trie
from pcrlog.encoding import sha256
from pcrlog.errors import MalformedError
from pcrlog.evidence.file import WrongIndex
from pcrlog.evidence.proven import Proven, check_included, nothing, opened, seal_of
from pcrlog.index_keys import index_keys, key_hash
from pcrlog.note import VerifierKey

_BOTH = 2


def wrong_index(file: WrongIndex, key: VerifierKey) -> Proven:
    """A root that the leaves since an earlier seal do not make."""
    checkpoint = opened(file.checkpoint, key)
    check_included(file.entries, checkpoint)
    first, leaves = file.entries.first, file.entries.leaves
    last = first + len(leaves) - 1
    seal, root = seal_of(leaves[-1]), trie.EMPTY_ROOT
    if first:
        begun = seal_of(leaves[0])
        root = begun.root
        if begun.count != first or len(leaves) < _BOTH:
            nothing(f"leaf {first} is no seal over the leaves before it")
    if seal.count != last:
        nothing(f"leaf {last} counts {seal.count} leaves before it")
    expected = _updated(file, root)
    if expected == seal.root:
        nothing(f"the root in the seal at {last} is that of the index")
    before = f"seal at {first} and the leaves since" if first else "leaves before it"
    found = (
        f"the seal at {last} has the index root {seal.root.hex()}, but the {before}"
        f" make it {expected.hex()}"
    )
    return Proven("index", key.name, found, (checkpoint,), (first, last))


def _updated(file: WrongIndex, root: bytes) -> bytes:
    """The root of the index over all leaves before the last, from that of the first."""
    nodes = trie.read_nodes(file.nodes)
    lists = {one.key: one.indices for one in file.lists}
    if (*sorted(nodes),) != (*map(sha256, file.nodes),) or (*sorted(lists),) != (
        *(one.key for one in file.lists),
    ):
        message = "evidence: expected nodes ascending by hash, lists by key, each once"
        raise MalformedError(message)
    added: dict[str, list[int]] = {}
    for index, leaf in enumerate(file.entries.leaves[:-1], file.entries.first):
        for name in index_keys(leaf):
            added.setdefault(name, []).append(index)
    values = {}
    try:
        for name, indices in added.items():
            before, hashed = lists.get(name, ()), key_hash(name)
            value = trie.value_of(before) if before else None
            if trie.find(nodes.__getitem__, root, hashed) != value:
                nothing(f"its list of {name} is not that of the first seal")
            values[hashed] = trie.value_of((*before, *indices))
        return trie.update(nodes.__getitem__, root, values).root
    except KeyError:
        nothing("a node of the index is missing")
