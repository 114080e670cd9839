"""What several commands of pcrlog-server take: a folder, and whether to print JSON."""

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path, file_okay=False)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
