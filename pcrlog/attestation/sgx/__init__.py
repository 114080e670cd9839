"""Intel SGX, taken apart: what platform `intel-sgx` is made of (ATTEST.md 6).

    quote        what an enclave hands over: reports, signatures, certificates
    wrapping     what may stand before it
    claims       what it says, in pcrlog's words
    pem          certificates as quotes and collateral carry them
    pck          the machine's certificate, up to Intel's root
    extension    what it says
    collateral   what Intel publishes of its machines: signatures, dates, revocations
    tcb          whether firmware and quoting enclave are recent enough
    simulator    all of it in software, under a root of its own

`intel_sgx`, beside this package, puts them together into the steps of a verification.
"""
