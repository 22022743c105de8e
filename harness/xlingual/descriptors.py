"""The three descriptors that every program is given; a module that imports nothing, to be called before all others."""

import os


def open_closed_descriptors() -> None:
    """Open standard input, output and error to nowhere where they are closed.

    A descriptor that is closed would be given to the next file that is opened, and what is printed would land in it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)  # the lowest free number is given
