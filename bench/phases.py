"""Where the time of a verification goes, in the library and in a new process."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple, ParamSpec, TypeVar

import pcrlog
from bench.scene import NONCE, PRODUCT, Scene
from bench.verification import BARE, command, in_folder
from pcrlog.attestation import chain, cose
from pcrlog.verification import run

P = ParamSpec("P")
T = TypeVar("T")

_ROUNDS = 300
_PROCESSES = 9
_IMPORTS = (
    "import cli.main, cli.verify, pcrlog.verification, pcrlog.attestation.aws_nitro,"
    " cli.ladder"
)
_PHASES: tuple[tuple[str, object, str], ...] = (
    ("read its certificates", chain, "load"),
    ("its chain: 4 ECDSA checks", chain, "verify"),
    ("its signature: 1 ECDSA check", cose, "verify"),
    ("read the bundle", run, "_read"),
    ("checkpoint and cosignatures: 3 Ed25519 checks", run, "open_log"),
    ("answers and inclusion proofs", run, "_gather"),
    ("who may say what: 7 Ed25519 checks", run, "judge_entries"),
    ("what counts, and the report", run, "report"),
)


class Phase(NamedTuple):
    """A part of the work, and its milliseconds."""

    name: str
    milliseconds: float


def warm_phases(scene: Scene) -> list[Phase]:
    """One verification in a process that has verified before."""
    policy = scene.parsed_policy()
    spent: dict[str, list[float]] = {}
    whole = []
    with _timed(spent):
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            pcrlog.verify(
                scene.document,
                scene.bundle,
                policy,
                product=PRODUCT,
                now=scene.now,
                nonce=NONCE,
            )
            whole.append(time.perf_counter() - began)
    found = [Phase(name, 1e3 * median(spent[name])) for name, _, _ in _PHASES]
    total = 1e3 * median(whole)
    rest = total - sum(phase.milliseconds for phase in found)
    return [*found, Phase("the rest", rest), Phase("all of it", total)]


@contextmanager
def _timed(spent: dict[str, list[float]]) -> Iterator[None]:
    """Clocks around the functions of `_PHASES`, for as long as it lasts."""
    before = [(module, name, getattr(module, name)) for _, module, name in _PHASES]
    for phase, module, name in _PHASES:
        setattr(module, name, _clocked(getattr(module, name), spent, phase))
    try:
        yield
    finally:
        for module, name, function in before:
            setattr(module, name, function)


def _clocked(
    function: Callable[P, T], spent: dict[str, list[float]], phase: str
) -> Callable[P, T]:
    def call(*args: P.args, **options: P.kwargs) -> T:
        began = time.perf_counter()
        try:
            return function(*args, **options)
        finally:
            spent.setdefault(phase, []).append(time.perf_counter() - began)

    return call


def cold_phases(scene: Scene) -> list[Phase]:
    """`pcrlog verify --bundle` in a new process, from nothing to exit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_folder(scene, folder)
        steps = {
            "Python itself": ["-c", "pass"],
            f"{BARE.removeprefix('import ')}": ["-c", BARE],
            "all that verify imports": ["-c", _IMPORTS],
            "the whole command": ["-c", *command()],
        }
        times: dict[str, list[float]] = {step: [] for step in steps}
        for _ in range(_PROCESSES):
            for step, words in steps.items():
                began = time.perf_counter()
                subprocess.run(
                    [sys.executable, *words],
                    cwd=folder,
                    env=os.environ | {"PCRLOG_STATE": name},
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
                times[step].append(time.perf_counter() - began)
    return [Phase(step, 1e3 * median(found)) for step, found in times.items()]
