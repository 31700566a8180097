"""The command line `likewise`.

One module per command; each imports what it needs when it runs, so that `likewise --help` answers at once and `serve`
never loads torch. Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration (one line on stderr, no
traceback).
"""

from __future__ import annotations

import io
import sys

_UNTIL_STOPPED = (["serve"], ["trainer"], ["worker"])


def main() -> None:
    """Entry point of the script `likewise` and of `python -m app.cli`; ends the process with its exit code."""
    if sys.argv[1:2] in _UNTIL_STOPPED:
        from app.cli.signals import end_in_order_on_signals

        end_in_order_on_signals()  # before the rest is loaded, which takes longer than anything up to here
    _show_what_cannot_be_encoded()
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


def _show_what_cannot_be_encoded() -> None:
    """A name with broken UTF-8 in it, or a terminal without Unicode, must not end a command in a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
