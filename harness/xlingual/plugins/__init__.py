"""The mount point of `tasks/`, `metrics/`, `models/` and `leaderboards/`, also of folders in `$XLINGUAL_PLUGINS`.

The dotted name `xlingual.plugins.tasks.xquad` is the same in a checkout, in a wheel, in a user's own plugin folder
(`FOLDER/tasks/mine.py`) and in a worker process.
"""

import os
from pathlib import Path

KINDS = ("tasks", "metrics", "models", "leaderboards")
_CHECKOUT = Path(__file__).resolve().parents[3]
if (_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / "hatch_build.py").is_file():
    __path__.append(str(_CHECKOUT))
SHIPPED: tuple[str, ...] = tuple(__path__)
"""The folders that hold what xlingual itself ships."""
__path__.extend(
    str(Path(folder).expanduser().resolve())
    for folder in os.environ.get("XLINGUAL_PLUGINS", "").split(os.pathsep)
    if folder
)
