"""What signs, named by a URI: a file, a command, or a key in a KMS or an HSM.

A package of its own beside `cli`, since the log reads its keys in the same way
(adr/0047). `uris.load` is all that others need.
"""
