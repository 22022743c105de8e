"""What is done in each fault, in the order of the page."""

from .server import QUESTIONS

CUT_AT = 8
"""The question during which a run is cut off."""
DEPTH = 100_000
EARLY = (0.1, 0.4, 0.8)
"""Seconds after the start at which Ctrl-C comes."""
FULL_FROM = 4
"""The question from which on the disk is full."""
TITLES = {
    "kill": f"`kill -9` while question {CUT_AT} of {QUESTIONS} is asked, then resumed",
    "full disk": f"the disk of the output folder is full from question {FULL_FROM} on; then there is room, and the run "
    "is resumed",
    "damage": f"Ctrl-C during question {CUT_AT}; 24 bytes of the file with the answers overwritten, in its middle, at "
    "three quarters, or at its end; then resumed",
    "edited": "the score of a finished run is set to 99.9 with an editor",
    "template": "a local chat model whose template leaves the question out",
    "two at once": "the same command twice at the same time",
    "closed output": "`2>&1 \\| head -1`",
    "password": "a password and a key in the address of the server; SIGTERM, then resumed",
    "early Ctrl-C": f"Ctrl-C {EARLY[0]}, {EARLY[1]} and {EARLY[2]} seconds after the start",
    "server errors": "one question gets 429 once, another 500 each time; later the server is well, and the run "
    "is resumed",
    "cut answers": "the server says of every answer that it was cut off at the token limit: which fields tell?",
    "nesting": f"`[` {DEPTH:,} times in a file that the user writes",
}
"""By the name under which it is recorded; "resumed" is the documented way to go on."""
