"""Verification: is this enclave what its provider says, and what speaks against it?

    verify(document, bundle, policy, product=..., now=...) -> Report

checks.py has the numbered checks and the verdict, links.py the chain of trust,
document.py, evidence.py and judge.py what stands behind them.
"""

from pcrlog.verification.evidence import Memory
from pcrlog.verification.report import Enclave, Report
from pcrlog.verification.run import foresee, verify

__all__ = ["Enclave", "Memory", "Report", "foresee", "verify"]
