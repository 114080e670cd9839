"""One file of many modules: the same bytes each time, and nothing hidden in them."""

import gzip
import re
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from log_server.pages.assembly import FIRST, AssemblyError, assemble, policy_of
from tests.support.vectors import ROOT

MOST = 160_000
"""Bytes that the page may take on its way, compressed (docs/verify-page.md)."""
PAGE = "@script-hash@ @style-hash@\n<style>@style@</style><script>@script@</script>"


@pytest.fixture
def page() -> str:
    return assemble(ROOT).decode()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project of two modules."""
    (tmp_path / "web/page").mkdir(parents=True)
    (tmp_path / "log_server/pages").mkdir(parents=True)
    (tmp_path / "web/page/verify.html").write_text(PAGE)
    (tmp_path / "web/page/verify.css").write_text("a {}\n")
    (tmp_path / "log_server/pages/style.css").write_text("b {}\n")
    (tmp_path / FIRST).write_text('import { f } from "./other.js";\nf();\n')
    (tmp_path / "web/page/other.js").write_text("export function f() {}\n")
    return tmp_path


def script_of(page: str) -> str:
    [script] = re.findall("<script[^>]*>(.*)</script>", page, re.DOTALL)
    assert isinstance(script, str)
    return script


def test_two_builds_are_the_same_bytes_wherever_the_sources_lie(tmp_path: Path) -> None:
    for name in ("web/page", "web/verifier", "log_server/pages"):
        ignored = shutil.ignore_patterns("node_modules", "__pycache__", "test")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    assert assemble(tmp_path) == assemble(ROOT)


def test_every_line_of_a_module_but_imports_and_exports_is_in_it(page: str) -> None:
    names = re.findall(r"^// --- (\S+)$", page, re.MULTILINE)
    assert names[-1] == FIRST
    assert len(names) == len(set(names)) > 50
    for name in names:
        source = (ROOT / name).read_text("utf-8")
        source = re.sub(r"^import [^;]*;\n", "", source, flags=re.MULTILINE)
        source = re.sub(r"^export (\{|\*)[^;]*;\n", "", source, flags=re.MULTILINE)
        source = re.sub(r"^export ", "", source, flags=re.MULTILINE)
        begin = page.index(f"\n// --- {name}\n")
        inside = page[begin : page.index("\nreturn Object.freeze(", begin)]
        inside = re.sub(
            r"^const (\w+|\{[^}]*\}) = loaded\[.*\];\n", "", inside, flags=re.MULTILINE
        )
        assert inside.endswith(f"(() => {{\n{source}".rstrip("\n")), name


def test_it_holds_the_verifier_and_nothing_that_asks_or_tests(page: str) -> None:
    names = set(re.findall(r"^// --- (\S+)$", page, re.MULTILINE))
    assert "web/verifier/verification/run.js" in names
    assert not [one for one in names if "conformance" in one or "/test/" in one]
    assert script_of(page).count("fetch(") == 1, "web/page/fetching.js alone asks"
    for word in ("innerHTML", "outerHTML", "document.write", "eval(", "new Function"):
        assert word not in script_of(page)


def test_it_names_no_other_host(page: str) -> None:
    leads = re.findall(r"""(?:src|href|action|url)\s*[=(]\s*["']?([^"')\s>]+)""", page)
    assert {one for one in leads if one.startswith(("http", "//"))} == set()


def test_its_policy_names_the_hashes_of_its_script_and_style(page: str) -> None:
    [style] = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    policy = policy_of(page.encode())
    for kind, text in (("script", script_of(page)), ("style", style)):
        known = b64encode(sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{known}'; " in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "data:" not in policy.replace("img-src data:", "")
    assert "require-trusted-types-for 'script'" in policy


def test_it_is_as_small_as_the_documentation_says(page: str) -> None:
    assert len(gzip.compress(page.encode(), mtime=0)) < MOST


def test_node_reads_the_script(page: str, tmp_path: Path) -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("no node (its absence fails tests/interop in CI)")
    (tmp_path / "page.mjs").write_text(script_of(page))
    subprocess.run([node, "--check", "page.mjs"], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("export default 1;\n", "cannot be put into one file: export default 1;"),
        ('import x from "./x.js";\n', "cannot be put into one file: import x"),
        ('import { x } from "far";\n', "cannot be put into one file: import"),
        ('const x = import("./x.js");\n', "cannot be put into one file: const x"),
        ("const here = import.meta.url;\n", "cannot be put into one file: const here"),
        ("export let x = 1;\n", "cannot be put into one file: export let"),
        ('import { f } from "./main.js";\n', "main.js imports web/page/other.js"),
        ('const x = "</SCRIPT>";\n', "end the script"),
        ('const x = "<!--";\n', "end the script"),
        ('import { x } from "./absent.js";\n', "absent.js: No such file"),
        ("const x = 1;\r\n", "lines that end in LF"),
    ],
)
def test_what_cannot_be_put_into_one_file_is_refused(
    small: Path, source: str, said: str
) -> None:
    (small / "web/page/other.js").write_bytes(source.encode())
    with pytest.raises(AssemblyError, match=re.escape(said)):
        assemble(small)


def test_each_way_to_export_is_kept(small: Path) -> None:
    (small / "web/page/other.js").write_text(
        'import { a as b } from "./third.js";\n'
        'export * from "./third.js";\nexport { a as c } from "./third.js";\n'
        "export async function f() {}\nfunction g() {}\nexport { g as h };\n"
        "export function* i() {}\nexport async function* j() {}\n"
    )
    (small / "web/page/third.js").write_text("export const a = 1;\n")
    text = assemble(small).decode()
    assert 'const { a: b } = loaded["web/page/third.js"];' in text
    for member in ('...loaded["web/page/third.js"]', "h: g", "f", "i", "j"):
        assert f"\n  {member},\n" in text
    assert '\n  c: loaded["web/page/third.js"].a,\n' in text


def test_a_template_without_a_place_is_refused(small: Path) -> None:
    (small / "web/page/verify.html").write_text(PAGE.replace("@style@", ""))
    with pytest.raises(AssemblyError, match="@style@ stands 0 times, want once"):
        assemble(small)


def test_a_page_without_a_policy_is_refused() -> None:
    with pytest.raises(AssemblyError, match="states no policy"):
        policy_of(b"<p>nothing</p>")
