# SPDX-License-Identifier: Apache-2.0
"""What the checks of scripts/check-interop have in common: counting what fails, and running kachel."""

import subprocess
import sys

failures = 0


def check(passed, text):
    """Says and counts what is not as it should be; returns whether it is."""
    global failures
    if not passed:
        failures += 1
        print(f"  FAIL  {text}")
    return bool(passed)


def run_kachel(program, *arguments):
    """Runs kachel without its progress, and ends where it fails."""
    result = subprocess.run(
        [program, *map(str, arguments), "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        sys.exit(f"kachel failed with {result.returncode}: {result.stderr}")


def finish(what):
    """Ends with 1 where a check failed."""
    if failures:
        sys.exit(f"check-interop: {failures} checks of {what} failed")
    print(f"check-interop: all of {what} passed")
