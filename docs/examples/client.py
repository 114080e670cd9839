"""A client that sends a secret to an enclave that was verified, and to nobody else.

    python docs/examples/client.py --policy policy.toml --product acme.example/wallet \
        https://127.0.0.1:8443 secret.txt

Exit status: 0 sent, 3 could not check, 4 refuted; with 3 and 4 nothing was sent. With 1
the network failed, and whether the enclave has it is not known.
"""

import argparse
import sys
from pathlib import Path

import requests

import pcrlog
from pcrlog.connection import cause
from pcrlog.live import Verifier
from pcrlog.requests import attested_session, enclave_of


def main() -> int:
    """Send it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--product", required=True)
    parser.add_argument("origin")
    parser.add_argument("secret", type=Path)
    options = parser.parse_args()
    try:
        policy = pcrlog.Policy.parse(options.policy.read_bytes())
        verifier = Verifier(policy, options.product)
        with attested_session(options.origin, verifier) as session:
            answer = session.post(
                f"{options.origin}/secret",
                data=options.secret.read_bytes(),
                timeout=10,
            )
    except pcrlog.PcrlogError as error:
        print(f"nothing was sent: {error}", file=sys.stderr)
        return error.exit_code
    except requests.RequestException as error:
        print(f"whether it was sent is not known: {cause(error)}", file=sys.stderr)
        return 1
    enclave = enclave_of(answer)
    print(f"{enclave.product} {enclave.version}: {answer.text}", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
