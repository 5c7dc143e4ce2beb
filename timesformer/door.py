"""What every tool does with mistakes, with Ctrl-C and with its log; imports nothing heavy.

::

    def main() -> None:
        args = parse_args()
        with door():
            ...
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from timesformer.errors import Interrupted, UserError


@contextmanager
def door(*, shows_log: bool = False) -> Iterator[None]:
    """Inside, mistakes end the tool with a sentence and status 1, Ctrl-C with status 130.

    A KeyboardInterrupt may carry words, such as how to continue; they are said. Where a run was
    asked to stop by another signal, the status is 128 and its number.

    Args:
        shows_log: print what the package logs. A run (`engine.run`) sees to that itself.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name may be no UTF-8, or a log be ASCII
        sys.stdout.reconfigure(errors="backslashreplace")
    if shows_log:
        logging.basicConfig(format="%(message)s", stream=sys.stdout)
        logging.getLogger("timesformer").setLevel(logging.INFO)
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except Interrupted as interruption:  # the run has said how it was left
        sys.exit(128 + interruption.signum)
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # for what is flushed at exit
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped", file=sys.stderr)
        sys.exit(130)
