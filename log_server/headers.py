"""What is said over HTTP of the files that everybody reads, whoever serves them.

A full tile never changes and a partial one has its width in its name: both may be kept
for ever; the checkpoint never without asking.
"""

TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"
IMMUTABLE = "public, max-age=31536000, immutable"
NO_CACHE = "no-cache"
