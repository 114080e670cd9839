"""Finds schema.sql, and the half of it that makes one of the two databases.

The file stands at the root of the project, and the wheel has a copy of it beside this
module; an editable install has the first alone.
"""

from importlib.resources import files

_MARK = "-- database: "


def schema_text() -> str:
    """The whole of schema.sql."""
    packaged = files("log_server").joinpath("schema.sql")
    if packaged.is_file():
        return packaged.read_text("utf-8")
    return files("log_server").joinpath("..", "schema.sql").read_text("utf-8")


def schema_of(database: str) -> str:
    """The statements that make `database`, "intake.db" or "log.db"."""
    for part in schema_text().split(_MARK)[1:]:
        name, _, statements = part.partition("\n")
        if name == database:
            return statements
    message = f"schema.sql has no part for {database}"
    raise LookupError(message)
