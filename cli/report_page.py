"""The page of a report to file: the question, the answer, the links, what is open.

Made for people who will never type a command. No script, nothing from elsewhere: its
one style sheet stands in it, and the browser is told to fetch nothing. All that comes
from a log, a document or a policy goes through `_text`, which escapes it.

This is page format v1. A file is checked by making its page anew, years later too, so
what is made of the same parts never changes: not a word here, not a line of the style
sheet: tests/vectors/pages has one that was made once. Other words are a v2.
"""

import html
import re
from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files

from cli.report_cited import Saying, Sayings
from cli.report_components import boxes
from cli.report_parts import Check, Link, Parts, Run, Told
from cli.report_policy import demands
from pcrlog.encoding import decode_json, encode_base64, format_time
from pcrlog.policy import Policy

_LINE = 76
_DIGEST = re.compile(r"\b[0-9a-f]{40,}\b")
_AS_CODE = r"<code>\g<0></code>"
_FETCH = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
_ASKS = {
    1: "Is this a live, genuine enclave, not in debug mode, and does it answer us?",
    2: "Does the provider say what it is, and does nothing that counts speak against?",
    3: "Did somebody rebuild it from published source to the same registers?",
    4: "Did somebody review that source?",
    5: "The same as link 3, for all parts made elsewhere.",
    6: "The same as link 4, for all parts made elsewhere.",
    7: "Does what hands over secrets demand this very attestation?",
}
_GROUND = {
    "separate": "All of this rests on the maker of the hardware; others run it.",
    "same": "All of this rests on one company, which makes the hardware and runs it.",
    "unknown": "All of this rests on who makes the hardware and who runs the machines.",
}
_MEANS = {
    "proven": "",
    "claimed": "The provider says so, and nobody confirmed it.",
    "missing": "Nobody says anything.",
    "unchecked": "This run could not tell.",
    "failed": "Something speaks against it.",
}
_BY = {"proven": "Proven", "claimed": "Claimed", "failed": "Found"}
_VERDICTS = {
    "verified": "verified",
    "unchecked": "could not check",
    "refuted": "refuted",
}


def render(parts: Parts) -> bytes:
    """The page.

    Raises:
        MalformedError, UsageError: a part is not of its form.
    """
    run = decode_json(parts.run, Run, ascii_only=False)
    report = Told.parse(parts.report)
    policy = Policy.parse(parts.policy)
    style = files("cli").joinpath("report_page.css").read_text("utf-8")
    known = encode_base64(sha256(style.encode()).digest())
    rows = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_FETCH}{known}\'">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(report.product)}: {_VERDICTS[report.verdict]}</title>",
        f"<style>{style}</style>",
        *_head(run, report),
        "<main>",
        *_numbers(report),
        *_links(report, Sayings(parts.bundle)),
        *_open(run, report),
        *_demanded(policy, run.product),
        *_measured(report),
        *_checks(report),
        *_kept(parts, report),
        "</main>",
        f"<footer>{_text(run.format)}, made by pcrlog {_text(run.program)}</footer>",
        "</html>",
    ]
    return ("\n".join(rows) + "\n").encode()


def _text(value: object) -> str:
    """Words as HTML shows them, whatever they are."""
    shown = "".join(one if one.isprintable() else "?" for one in str(value))
    return html.escape(shown)


def _when(seconds: int) -> str:
    return format_time(seconds).replace("T", " ").replace("Z", " UTC")


def _pairs(kind: str, pairs: Iterator[tuple[str, str]]) -> str:
    """Names and their values, as a list of definitions."""
    rows = (
        f"<dt>{_text(name)}</dt><dd>{_DIGEST.sub(_AS_CODE, _text(value))}</dd>"
        for name, value in pairs
    )
    return f"<dl{kind}>{''.join(rows)}</dl>"


def _head(run: Run, report: Told) -> Iterator[str]:
    word, _, claim = report.headline.partition(": ")
    asked = f"Asked on {_when(run.now)}"
    if run.at is not None:
        asked += f", as of {_when(run.at)}"
    if isinstance(run.platform, str):
        asked += f", on {run.platform}"
    yield f'<header class="{report.verdict}">'
    yield f'<p class="asked">Is this enclave {_text(report.product)}? {asked}.</p>'
    yield f"<h1>{_text(word.capitalize())}</h1>"
    if report.verdict == "verified":
        claim = claim[:1].upper() + claim[1:]
    yield f'<div><p class="claim">{_text(claim)}.</p></div>'
    yield "</header>"


def _numbers(report: Told) -> Iterator[str]:
    seen, ends = report.checkpoint, report.trust_ends_at
    cells = (
        ("version", report.version or "none"),
        ("platform", report.platform or "none"),
        ("trust ends at", f"link {ends} of {len(report.links)}" if ends else "no link"),
        ("entries of the log", "none" if seen is None else f"{seen.size:,}"),
    )
    rows = (f"<div><dt>{_text(n)}</dt><dd>{_text(v)}</dd></div>" for n, v in cells)
    yield f'<dl class="numbers">{"".join(rows)}</dl>'


# --- the links ------------------------------------------------------------------------


def _links(report: Told, sayings: Sayings) -> Iterator[str]:
    yield "<h2>The chain of trust</h2>"
    yield '<ol class="links">'
    end = '<li class="end"><span>Trust ends here</span></li>'
    if report.trust_ends_at == 0:
        yield end
    for link in report.links:
        parts = [
            _box(one.title, one.status, one.facts) for one in boxes(report, link.number)
        ]
        held = link.number <= report.trust_ends_at
        words = [_means(link, report), _who(link, report) if parts else _by(link)]
        yield _link(link, sayings, words, parts, held=held)
        if link.number == report.trust_ends_at:
            yield end
    yield (
        '<li class="ground"><span class="number">8</span><h3>Ground'
        f'<span class="status">{report.ground}</span></h3>'
        f"<p>{_GROUND[report.ground]}</p></li>"
    )
    yield "</ol>"


def _means(link: Link, report: Told) -> str:
    """What its status means; of a list, that it is the worst of what is on it."""
    if link.status == "missing" and any(boxes(report, link.number)):
        return "Of one of the parts below, nobody says it."
    return _MEANS[link.status]


def _by(link: Link) -> str:
    by = " and ".join("this run" if who == "run" else who for who in link.by)
    return f"{_BY.get(link.status, 'Said')} by {_text(by)}." if by else ""


def _who(link: Link, report: Told) -> str:
    """Of a link with components: who confirmed the list, or that it is only claimed."""
    provider = report.product.partition("/")[0]
    if link.status == "unchecked" or link.by in ((), (provider,)):
        return _by(link)
    return f"The list was found complete by {_text(' and '.join(link.by))}."


def _link(
    link: Link, sayings: Sayings, told: list[str], parts: list[str], *, held: bool
) -> str:
    words = [_text(_ASKS[link.number]), *filter(None, told)]
    if link.next:
        words.append(f"For the next step, {_text(link.next)}.")
    said = "".join(_saying(*sayings.of(cited)) for cited in link.evidence)
    said += "".join(parts)
    kind = f"{link.status} held" if held else link.status
    return (
        f'<li class="{kind}"><span class="number">{link.number}</span>'
        f"<h3>{_text(link.name.capitalize())}"
        f'<span class="status">{link.status}</span></h3>'
        f"{''.join(f'<p>{one}</p>' for one in words)}{said}</li>"
    )


def _saying(said: Saying, before: bool) -> str:  # noqa: FBT001 - handed on by a star
    """An entry that is cited; one that was shown before, by its first line alone."""
    place = f"entry {said.index} of the log{', as above' if before else ''}"
    return _box(said.title, place, () if before else said.facts)


def _box(title: str, place: str, facts: tuple[tuple[str, str], ...]) -> str:
    rest = _pairs("", iter(facts)) if facts else ""
    return (
        f'<div class="facts"><p><b>{_text(title)}</b>'
        f"<span>{_text(place)}</span></p>{rest}</div>"
    )


# --- what is open ---------------------------------------------------------------------


def _open(run: Run, report: Told) -> Iterator[str]:
    yield "<h2>What was not checked</h2>"
    yield '<ul class="notes">'
    for check in report.checks:
        if check.status == "unchecked":
            why = "the policy demands it" if check.required else "not demanded"
            told = f"<b>{_text(check.id)}</b> ({why}): expected {_text(check.expected)}"
            yield f'<li class="odd"><p>{told}; found {_text(check.found)}.</p></li>'
    for link in report.links:
        if link.status in ("claimed", "missing"):
            yield (
                f'<li class="odd"><p><b>link {link.number}, {_text(link.name)}</b>:'
                f" {link.status}. {_text(_means(link, report))}</p></li>"
            )
    yield from (f"<li><p>{_text(one)}.</p></li>" for one in report.remarks)
    yield from (f"<li><p>{_text(one)}</p></li>" for one in _never(run, report))
    yield "</ul>"


def _never(run: Run, report: Told) -> Iterator[str]:
    """What no such file can show."""
    if report.checkpoint is not None:
        sealed = _when(report.checkpoint.time)
        yield f"Whatever the log holds since {sealed}: a later revocation is not here."
    if run.nonce is not None:
        yield (
            f"That the nonce {run.nonce} was new when it was sent: whoever made this"
            " file says so."
        )
    for kind, value in (run.binding or {}).items():
        yield f"That the connection showed {kind} {value}: the same."
    yield "Who made this file: it is not signed. Its parts prove the same to everybody."
    yield (
        "Whether the code is good, beyond what the auditors named above say; and what"
        " the enclave does with a secret once it has it."
    )


# --- the policy, the registers, the checks --------------------------------------------


def _demanded(policy: Policy, product: str) -> Iterator[str]:
    yield "<h2>What the policy demands</h2>"
    yield _pairs(' class="rows"', demands(policy, product))


def _measured(report: Told) -> Iterator[str]:
    yield "<h2>What the hardware measured</h2>"
    yield _pairs(' class="rows"', _registers(report))


def _registers(report: Told) -> Iterator[tuple[str, str]]:
    for name, digest in report.registers.matched.items():
        yield f"{name}, as released", digest.replace(":", " ")
    rest = report.registers.unlisted
    empty = [name for name, digest in rest.items() if not digest[7:].strip("0")]
    for name, digest in rest.items():
        if name not in empty:
            yield f"{name}, not listed", digest.replace(":", " ")
    if empty:
        yield "zero, not listed", ", ".join(empty)
    if report.public_key is not None:
        yield "public key", report.public_key
    if report.user_data is not None:
        yield "user data", report.user_data


def _checks(report: Told) -> Iterator[str]:
    yield f"<h2>All {len(report.checks)} checks</h2>"
    yield "<table><thead><tr><th></th><th>check</th><th>outcome</th>"
    yield "<th>expected</th><th>found</th></tr></thead><tbody>"
    for number, check in enumerate(report.checks, 1):
        yield _check(number, check)
    yield "</tbody></table>"


def _check(number: int, check: Check) -> str:
    demanded = "" if check.required else '<br><span class="soft">not demanded</span>'
    return (
        f'<tr class="{check.status}"><td class="nr">{number}</td>'
        f"<td><b>{_text(check.id)}</b></td>"
        f'<td><span class="status">{check.status}</span>{demanded}</td>'
        f"<td>{_text(check.expected)}</td><td>{_text(check.found)}</td></tr>"
    )


# --- what it was made from ------------------------------------------------------------


def _kept(parts: Parts, report: Told) -> Iterator[str]:
    yield "<h2>To check this file</h2>"
    yield (
        "<p>All that these words were made from is in it. Years later too, the same"
        " program makes the page anew, runs every check again, and compares:</p>"
    )
    yield (
        '<pre class="type">pcrlog report verify THIS-FILE --policy-sha256'
        f" {_text(report.policy_sha256)}</pre>"
    )
    yield (
        "<p>The digest is that of the policy: the demands are only as good as whoever"
        " wrote them. With <code>--policy FILE</code> your own decide.</p>"
    )
    if report.checkpoint is not None:
        yield "<h3>The checkpoint of the log</h3>"
        note = "\n".join(_text(line) for line in report.checkpoint.note.split("\n"))
        yield f"<pre>{note}</pre>"
    yield "<h3>The parts</h3>"
    for name, data in parts.named().items():
        text = encode_base64(data)
        lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
        told = f"{name}, {len(data):,} bytes, sha256 {sha256(data).hexdigest()}"
        yield f"<details><summary>{told}</summary>"
        yield f'<pre id="part-{name}">\n' + "\n".join(lines) + "</pre>"
        yield "</details>"
