"""The two tables that stood before the code: links and statuses, refusals and verdicts.

They are written by hand, in tests/vectors/tables, and asked for here row by row.
"""

import json
from pathlib import Path
from typing import Any

from tests.conformance.family import Family

_TABLES = Path(__file__).parents[1] / "vectors" / "tables"


def _rows(file: str, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((_TABLES / file).read_bytes())[name]
    return rows


def links() -> Family:
    """Facts of one link in, its status out."""
    family = Family("links", "The table of the eight links (section 1), row by row.")
    for number, row in enumerate(_rows("links.json", "links")):
        family.case(
            f"link-{row['link']}-{row['status']}-{number}",
            row["why"],
            "link",
            {"status": row["status"]},
            link=row["link"],
            facts=row["facts"],
        )
    for row in _rows("links.json", "trust_ends_at"):
        family.case(
            f"trust-ends-at-{row['ends']}",
            "the largest N with links 1 to N all proven, or 0",
            "trust-ends-at",
            {"ends": row["ends"]},
            statuses=row["statuses"],
        )
    return family


def verdicts() -> Family:
    """Statuses of checks and what the policy demands in, the verdict out."""
    about = "Checks that did not pass x what is demanded: the verdict (section 4.7)."
    family = Family("verdicts", about)
    for number, row in enumerate(_rows("verdicts.json", "cases")):
        given = {
            name: row[name] for name in ("checks", "policy", "mode") if name in row
        }
        checks = [f"{check}-{status}" for check, status in row["checks"].items()]
        family.case(
            "-".join([*checks[:2], row["verdict"], str(number)]).replace(".", "-"),
            "the table of refusals and verdicts",
            "verdict",
            {"verdict": row["verdict"]},
            **given,
        )
    return family


MAKERS = (links, verdicts)
