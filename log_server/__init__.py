"""The server of a transparency log: takes statements in, sequences and publishes them.

Two processes: the web process answers HTTP and writes intake.db; the sequencer holds
the log's only key and writes log.db and the files below public/. Nobody has to trust
either: what they publish is checked by clients, witnesses and monitors.
"""
