"""`python -m log_server` is `pcrlog-server`."""

from log_server.commands import main

if __name__ == "__main__":
    main()
