"""`python -m xlingual` and the command `xlingual`."""

import os
import sys

from .descriptors import open_closed_descriptors

INTERRUPTED = 130
"""128 + SIGINT; the module `signal` is not imported for it, since Ctrl-C may come meanwhile."""


def main() -> None:
    """Run the command line and leave with its exit code, also where Ctrl-C comes while it is being imported."""
    try:
        open_closed_descriptors()
        from .cli import run_command  # noqa: PLC0415 (within the reach of Ctrl-C)
        from .cli.streams import exit_code_of, open_streams  # noqa: PLC0415

        streams = open_streams()
        code = exit_code_of(run_command(sys.argv[1:]), sys.argv[1:], streams)
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.stderr.flush()
    if code == INTERRUPTED:
        os._exit(code)  # what threads of libraries would say of it is nobody's concern
    sys.exit(code)


if __name__ == "__main__":
    main()
