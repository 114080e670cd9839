"""The metadata section of an image: JSON about how it was built, which nobody measures.

    {"ImageName": "…", "ImageVersion": "…", "BuildMetadata": {"BuildTime": "…",
     "BuildTool": "…", "BuildToolVersion": "…", "OperatingSystem": "…",
     "KernelVersion": "…"}, "DockerInfo": …, "CustomMetadata": …}

Whoever has the image can write there what they like: no register changes. AWS's reader
takes it for any value that has these members, and so does this one; a member that
stands twice is refused, since readers would differ about it.
"""

import json  # msgspec would keep the last of two members of one name
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

from pcrlog.encoding import printable, shown
from workbench.eif_layout import refuse

Metadata: TypeAlias = Mapping[str, Any]
"""What the JSON says, as it stands there."""

_BUILD = (
    "BuildTime",
    "BuildTool",
    "BuildToolVersion",
    "OperatingSystem",
    "KernelVersion",
)
_OPEN = ("DockerInfo", "CustomMetadata")
"""Members that may be anything."""


def read(data: bytes) -> Metadata:
    """Read the section; check `metadata`.

    Raises:
        MalformedError: not of the form above.
    """
    try:
        found = json.loads(
            data.decode(), object_pairs_hook=_once, parse_constant=_no_number
        )
    except (ValueError, RecursionError) as error:
        refuse("metadata", "JSON in UTF-8", printable(str(error)))
    if not isinstance(found, dict):
        refuse("metadata", "a JSON object", type(found).__name__)
    _strings(found, ("ImageName", "ImageVersion"))
    build = found.get("BuildMetadata")
    if not isinstance(build, dict):
        refuse("metadata", "an object BuildMetadata", shown(str(build)))
    _strings(build, _BUILD)
    for name in _OPEN:
        if name not in found:
            refuse("metadata", f"a member {name}", "none")
    return found


def described(found: Metadata) -> dict[str, Any]:
    """The members of nitro-cli's describe-eif that come from here."""
    custom = found["CustomMetadata"]
    told = dict(custom) if isinstance(custom, dict) else {}
    told |= {"DockerInfo": found["DockerInfo"]}
    told |= {name: found["BuildMetadata"][name] for name in _BUILD}
    return {
        "ImageName": found["ImageName"],
        "ImageVersion": found["ImageVersion"],
        "Metadata": told,
    }


def _strings(where: Mapping[str, object], names: Sequence[str]) -> None:
    for name in names:
        if not isinstance(where.get(name), str):
            refuse("metadata", f"text as {name}", shown(str(where.get(name))))


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        message = "a member stands twice"
        raise ValueError(message)
    return found


def _no_number(name: str) -> NoReturn:
    message = f"{name} is no JSON"
    raise ValueError(message)
