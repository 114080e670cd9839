"""What a web process holds open: made by `app`, used by whoever brings it requests."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from log_server.files import Files
from log_server.status_api import Requests
from log_server.store import Store
from log_server.submissions import Submissions
from log_server.submit_api import Entries


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a web process; `close` them when they are of no more use."""

    store: Store
    submissions: Submissions
    files: Files
    entries: Entries
    requests: Requests
    registry: CollectorRegistry

    def close(self) -> None:
        """End the threads and close the files."""
        self.submissions.close()
        self.store.close()
