"""Finds the part of schema.sql that makes one of a monitor's databases."""

from importlib.resources import files

_MARK = "-- database: "


def schema_of(database: str) -> str:
    """The statements that make `database`, for example "monitor.db"."""
    text = files("monitor").joinpath("schema.sql").read_text("utf-8")
    for part in text.split(_MARK)[1:]:
        name, _, statements = part.partition("\n")
        if name == database:
            return statements
    message = f"schema.sql has no part for {database}"
    raise LookupError(message)
