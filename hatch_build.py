"""Build hook: a wheel carries the plugin folders as `xlingual/plugins/...`; an editable install needs none."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLUGIN_FOLDERS = ("tasks", "models", "leaderboards")


class PluginFolders(BuildHookInterface[Any]):
    """Ships `tasks/`, `models/` and `leaderboards/` below the package's mount point."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folders to a wheel; `version` is "editable" for a development install, which needs none."""
        if version == "standard":
            for folder in PLUGIN_FOLDERS:
                build_data["force_include"][folder] = f"xlingual/plugins/{folder}"
