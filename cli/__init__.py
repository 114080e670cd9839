"""The command line of pcrlog: publish, co-sign, revoke, and verify.

`pcrlog --help` lists the commands; main.py has the table of them. Each command imports
what it uses when it is used, since start-up time is part of the product.
"""
