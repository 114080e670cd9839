"""A PCCS on loopback: answers as docs of Intel's PCS say, out of one collateral file.

    with Pccs(simulator.collateral(word)) as service:
        fetch(service.url, Wanted("00A067110000", "processor"))
        assert service.asked == [...]

`answers` may be changed at any time; what is asked besides them is answered with 404.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import quote

from msgspec import Struct

VERSION = "/sgx/certification/v4"
TCB = "/tcb?fmspc=00A067110000"
IDENTITY = "/qe/identity"
PCK_CRL = "/pckcrl?ca=processor&encoding=der"
ROOT_CRL = "/rootcacrl"


class Answer(Struct):
    """What is answered to one question."""

    body: bytes
    headers: dict[str, str] = {}
    status: int = 200


def answers(collateral: bytes) -> dict[str, Answer]:
    """What a PCCS that has this collateral answers, by path and query."""
    file = json.loads(collateral)

    def signed(member: str, name: str) -> bytes:
        text, signature = file[name], file[f"{name}_signature"]
        return f'{{"{member}":{text},"signature":"{signature}"}}'.encode()

    def chain(header: str, name: str) -> dict[str, str]:
        return {header: quote(file[f"{name}_issuer_chain"])}

    return {
        TCB: Answer(
            signed("tcbInfo", "tcb_info"), chain("TCB-Info-Issuer-Chain", "tcb_info")
        ),
        IDENTITY: Answer(
            signed("enclaveIdentity", "qe_identity"),
            chain("SGX-Enclave-Identity-Issuer-Chain", "qe_identity"),
        ),
        PCK_CRL: Answer(
            bytes.fromhex(file["pck_crl"]), chain("SGX-PCK-CRL-Issuer-Chain", "pck_crl")
        ),
        ROOT_CRL: Answer(file["root_ca_crl"].encode()),
    }


class Pccs(ThreadingHTTPServer):
    """A service; it listens between `__enter__` and `__exit__`."""

    daemon_threads = True

    def __init__(self, collateral: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers(collateral)
        self.asked: list[str] = []
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.02,), name="pccs"
        )

    @property
    def url(self) -> str:
        """What a user would name: up to the version."""
        return f"http://127.0.0.1:{self.server_port}{VERSION}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None = None,
        _error: BaseException | None = None,
        _trace: TracebackType | None = None,
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Pccs  # type: ignore[mutable-override] # the one that makes it

    def log_message(self, *_words: object) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        """One of the answers."""
        path = self.path.removeprefix(VERSION)
        self.server.asked.append(path)
        answer = self.server.answers.get(path, Answer(b"no such thing", status=404))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
