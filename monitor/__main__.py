"""`python -m monitor`: the same as `pcrlog-monitor`."""

from monitor.commands import main

main()
