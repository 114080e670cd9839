"""Makes verify.html: the verifier and its page, in one file that a person can keep.

The sources stay as they are written: each ES module becomes the body of a function,
word for word but for its imports and exports, and the functions stand in the order in
which they need each other. So whoever has the sources can make the file again, byte for
byte, and read it beside them. Nothing is minified, and nothing is fetched.

    import { a, b as c } from "./x.js";    const { a, b: c } = loaded["x.js"];
    import * as x from "./x.js";           const x = loaded["x.js"];
    export function f() {                  function f() {     … return { f };
    export { P };                                             … return { P };
    export { P } from "./x.js";                               … P: loaded["x.js"].P
    export * from "./x.js";                                   … ...loaded["x.js"]

What is written in another way is refused, as is a circle. The page's own policy names
the hashes of its one script and of its one style sheet, so that a browser runs nothing
else, from disk too. This module imports the standard library alone: the build of the
wheel (tools/wheel_hook.py) loads it where nothing is installed.
"""

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from posixpath import normpath

FIRST = "web/page/main.js"
"""The module that the page starts with."""
_TEMPLATE = "web/page/verify.html"
_STYLES = ("log_server/pages/style.css", "web/page/verify.css")
_IMPORT = re.compile(
    r'^import (?:\* as (\w+)|\{([^}]*)\}) from "(\.[^"]+)";\n', re.MULTILINE
)
_PASSED_ON = re.compile(
    r'^export (?:(\*)|\{([^}]*)\}) from "(\.[^"]+)";\n', re.MULTILINE
)
_LISTED = re.compile(r"^export \{([^}]*)\};\n", re.MULTILINE)
_DECLARED = re.compile(
    r"^export (?=(?:(?:async )?function\*?|class|const) (\w+))", re.MULTILINE
)
_LEFT_OVER = re.compile(
    r"^(?:import|export)\b.*|^.*\bimport(?:\(|\.meta).*", re.MULTILINE
)
_COMMENT = re.compile(r"^ *(?:\*|//|/\*)")
_ENDS_SCRIPT = re.compile(r"</script|<!--", re.IGNORECASE)


class AssemblyError(Exception):
    """A source is written in a way that cannot be put into one file."""


def assemble(root: Path) -> bytes:
    """The page, made of the sources below the project's root.

    Raises:
        AssemblyError: a module imports in another way, itself, or what is not there.
    """
    made = _Script(root)
    made.load(FIRST)
    script = made.text
    if _ENDS_SCRIPT.search(script):
        message = "a module holds what would end the script, or hide it"
        raise AssemblyError(message)
    style = "\n" + "".join(_read(root, name) for name in _STYLES)
    page = _read(root, _TEMPLATE)
    for name, text in (
        ("script-hash", _hash(script)),
        ("style-hash", _hash(style)),
        ("script", script),
        ("style", style),
    ):
        mark = f"@{name}@"
        if page.count(mark) != 1:
            message = f"{_TEMPLATE}: {mark} stands {page.count(mark)} times, want once"
            raise AssemblyError(message)
        before, after = page.split(mark)
        page = before + text + after
    return page.encode()


def policy_of(page: bytes) -> str:
    """The policy that an assembled page states for itself: for the header, too."""
    found = re.search(rb'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    if found is None:
        message = f"{_TEMPLATE} states no policy"
        raise AssemblyError(message)
    return re.sub(r"\s+", " ", found[1].decode())


def _read(root: Path, name: str) -> str:
    try:
        text = (root / name).read_bytes().decode()
    except OSError as error:
        message = f"{name}: {error.strerror}"
        raise AssemblyError(message) from error
    if "\r" in text:
        message = f"{name}: expected lines that end in LF"
        raise AssemblyError(message)
    return text


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


class _Script:
    """The modules behind one another, each once, after what it imports."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modules: dict[str, str] = {}
        self._above: list[str] = []

    @property
    def text(self) -> str:
        return "\nconst loaded = {};\n" + "".join(self._modules.values())

    def load(self, name: str) -> str:
        """Put a module behind what it imports, unless it is there; its expression."""
        if name in self._above:
            message = " imports ".join((*self._above[self._above.index(name) :], name))
            raise AssemblyError(message)
        if name not in self._modules:
            self._above.append(name)
            module = _Module(name, self.load)
            text = module.rewritten(_read(self._root, name))
            self._modules[name] = text
            self._above.pop()
        return f'loaded["{name}"]'


class _Module:
    """One module on its way into the script."""

    def __init__(self, name: str, load: Callable[[str], str]) -> None:
        self._name, self._load = name, load
        self._given: list[str] = []

    def rewritten(self, text: str) -> str:
        """The module as a function's body, and the call."""
        for pattern, change in (
            (_IMPORT, self._imported),
            (_PASSED_ON, self._passed_on),
            (_LISTED, self._listed),
            (_DECLARED, self._declared),
        ):
            text = pattern.sub(change, text)
        for left in _LEFT_OVER.finditer(text):
            if not _COMMENT.match(left[0]):
                message = f"{self._name}: cannot be put into one file: {left[0]}"
                raise AssemblyError(message)
        members = "".join(f"  {one},\n" for one in self._given)
        return (
            f'\n// --- {self._name}\nloaded["{self._name}"] = (() => {{\n{text}'
            f"return Object.freeze({{\n{members}}});\n}})();\n"
        )

    def _other(self, path: str) -> str:
        return self._load(normpath(self._name.rpartition("/")[0] + "/" + path))

    def _imported(self, match: re.Match[str]) -> str:
        whole, some, path = match.groups()
        names = whole or f"{{ {', '.join(': '.join(one) for one in _names(some))} }}"
        return f"const {names} = {self._other(path)};\n"

    def _passed_on(self, match: re.Match[str]) -> str:
        everything, some, path = match.groups()
        where = self._other(path)
        if everything:
            self._given.append(f"...{where}")
        else:
            self._given += [f"{new}: {where}.{old}" for old, new in _names(some)]
        return ""

    def _listed(self, match: re.Match[str]) -> str:
        self._given += [f"{new}: {old}" for old, new in _names(match[1])]
        return ""

    def _declared(self, match: re.Match[str]) -> str:
        self._given.append(match[1])
        return ""


def _names(some: str) -> list[tuple[str, str]]:
    """`a, b as c`: each name there, and the name here."""
    pairs = []
    for one in filter(None, (part.strip() for part in some.split(","))):
        old, _, new = one.partition(" as ")
        pairs.append((old, new or old))
    return pairs
