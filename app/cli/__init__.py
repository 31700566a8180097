"""The command line `likewise`.

One module per command; each imports what it needs when it runs, so that `likewise --help` answers at once and `serve`
never loads torch. Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration (one line on stderr, no
traceback).
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the script `likewise` and of `python -m app.cli`; ends the process with its exit code."""
    from app.cli.commands import application
    from app.cli.exits import exit_code

    try:
        application()
    except Exception as error:
        # The edge of the process: what is known becomes one line and a code, anything else a traceback.
        code = exit_code(error)
        if code is None:
            raise
        print(f"likewise: {error}", file=sys.stderr)  # noqa: T201 - this is where a command speaks
        sys.exit(code)
