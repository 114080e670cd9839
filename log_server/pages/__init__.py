"""Pages for people: what the log holds, looked up and read without a program.

They are made by the server, of one snapshot each, and are its word alone: they never
say that anything is verified. What a page shows, a reader's own verifier can check.
"""

from log_server.pages.desk import Desk as Desk
from log_server.pages.routes import blueprint as blueprint
