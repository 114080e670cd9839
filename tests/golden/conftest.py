"""`pytest tests/golden --update` writes the files anew; review the difference."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update`."""
    parser.addoption(
        "--update", action="store_true", help="write tests/golden/*.txt anew"
    )
