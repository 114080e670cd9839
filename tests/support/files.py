"""What a log in memory serves, as a `Fetch`: no server, no waiting."""

from dataclasses import dataclass, field

from pcrlog.index_keys import of_product
from pcrlog.reader import AbsentError
from pcrlog.tiles import encode_bundle, parse_path
from tests.support.memory_log import MemoryLog


@dataclass
class Files:
    """A `Fetch` over a log in memory: its tiles, and whatever a test puts there.

    `key`: the one that lookups answer.
    """

    log: MemoryLog
    key: str = of_product("acme.example/wallet")
    instead: dict[str, bytes] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def __call__(self, path: str, most: int, /) -> bytes:
        self.asked.append(path)
        if path in self.gone:
            message = f"nothing at {path}"
            raise AbsentError(message)
        data = self.instead[path] if path in self.instead else self._serve(path)
        assert len(data) <= most
        return data

    def _serve(self, path: str) -> bytes:
        if path == "checkpoint":
            return self.log.note
        if path.startswith("api/v1/lookup"):
            return self.log.assemble({self.key: self.log.answer(self.key)}).encode()
        tile = parse_path(path)
        start = tile.index * 256
        if tile.level is None:
            return encode_bundle(self.log.leaves[start : start + tile.width])
        level, width = 8 * tile.level, tile.width
        if start + width > len(self.log.leaves) >> level:
            message = f"nothing at {path} yet"
            raise AbsentError(message)
        nodes = (self.log.node(level, start + place) for place in range(width))
        return b"".join(nodes)
