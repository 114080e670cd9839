"""What providers and auditors need beside the protocol: images, ramdisks, rebuilds.

Pure libraries: they take bytes or file objects that somebody else has opened, and give
values or errors of pcrlog. They know of no log; `cli` puts the two together.
"""
