# SPDX-License-Identifier: Apache-2.0
"""Running a program and measuring it from outside; used by measure.py and peers.py."""

import os
import subprocess
import sys
import time


class Failed(Exception):
    """A program ended with another exit code than 0."""


def run(command, output=None, errors=None, processors=None):
    """Runs a command and returns its seconds, those of the processors, and the most memory that it held, in bytes.

    The memory is that of the command's process or of its largest child; the program that calls this must itself be
    smaller, since Linux counts what a process held before it became another program.
    """
    limit = (lambda: os.sched_setaffinity(0, processors)) if processors else None
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=output, stderr=errors, preexec_fn=limit)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"failed with {process.returncode}: {' '.join(map(str, command))}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
