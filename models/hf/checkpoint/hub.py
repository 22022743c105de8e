"""Models on the Hugging Face hub: a name to a commit and a folder of files, from the network or the hub's cache."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from xlingual.errors import AuthError, EnvironmentFault, UsageError, XlingualError

TIMEOUT = 10.0
"""Seconds that the hub has to say which commit a name stands for."""
COMMIT = re.compile(r"[0-9a-f]{40}")
DESCRIPTION_FILES = ("*.json", "*.jinja", "*.model", "*.tiktoken", "vocab.txt", "merges.txt")
"""Configuration and tokenizer, never weights."""
SAFE_WEIGHTS = ("model*.safetensors",)
PICKLED_WEIGHTS = ("pytorch_model*.bin",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A model of the hub at one commit, its description files downloaded."""

    repository: str
    commit: str
    """40 hex digits."""
    folder: Path
    files: tuple[str, ...]
    """Names of the files of the repository, or of those in the cache."""
    listed: bool
    """Whether the hub itself listed the files."""


def resolve(
    repository: str, revision: str | None, *, offline: bool, code: bool, marker: str = "config.json"
) -> Snapshot:
    """Return the commit that `revision` (a branch, tag or commit; None: main) stands for, and its description files.

    Without a network, the hub's cache is searched for the file `marker`. `code` fetches Python files too. Raises
    UsageError for an unknown name or revision, AuthError for a gated model, EnvironmentFault where neither the network
    nor the cache has it.
    """
    from huggingface_hub import HfApi, constants, snapshot_download  # noqa: PLC0415 - slow to import

    if offline or constants.HF_HUB_OFFLINE:
        return _cached(repository, revision, "offline as asked", marker)
    try:
        with hub_errors(repository, revision):
            info = HfApi().model_info(repository, revision=revision, timeout=TIMEOUT)
            commit = str(info.sha)
            wanted = [*DESCRIPTION_FILES, *(["*.py"] if code else [])]
            folder = snapshot_download(repository, revision=commit, allow_patterns=wanted)
    except EnvironmentFault as error:
        return _cached(repository, revision, error.what, marker)
    files = tuple(each.rfilename for each in info.siblings or ())
    return Snapshot(repository=repository, commit=commit, folder=Path(folder), files=files, listed=True)


def fetch_weights(snapshot: Snapshot, *, offline: bool, pickled: bool) -> Path:
    """Download what is missing of the weights and return the folder that holds them with everything else."""
    from huggingface_hub import constants, snapshot_download  # noqa: PLC0415 - slow to import

    if offline or constants.HF_HUB_OFFLINE:
        return snapshot.folder
    patterns = [*DESCRIPTION_FILES, *(PICKLED_WEIGHTS if pickled else SAFE_WEIGHTS)]
    with hub_errors(snapshot.repository, snapshot.commit):
        return Path(snapshot_download(snapshot.repository, revision=snapshot.commit, allow_patterns=patterns))


def fetch_adapter(snapshot: Snapshot, *, offline: bool) -> Path:
    """Download an adapter's configuration and safetensors and return their folder."""
    from huggingface_hub import constants, snapshot_download  # noqa: PLC0415 - slow to import

    if offline or constants.HF_HUB_OFFLINE:
        return snapshot.folder
    patterns = [*DESCRIPTION_FILES, "adapter_model.safetensors"]
    with hub_errors(snapshot.repository, snapshot.commit):
        return Path(snapshot_download(snapshot.repository, revision=snapshot.commit, allow_patterns=patterns))


def _cached(repository: str, revision: str | None, why: str, marker: str) -> Snapshot:
    """Return a snapshot of the hub's cache; EnvironmentFault where there is none, with `why` the hub was not asked."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - slow to import
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - slow to import

    try:
        config = try_to_load_from_cache(repository, marker, revision=revision)
    except HFValidationError as error:
        raise _no_such(repository) from error
    if not isinstance(config, str):
        raise EnvironmentFault(
            f"the model is not in the cache and the hub cannot be asked ({why})",
            where=repository if revision is None else f"{repository}@{revision}",
            hint="check the network, or name a local folder or a .gguf file",
        )
    folder = Path(config).parent
    files = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
    return Snapshot(repository=repository, commit=folder.name, folder=folder, files=files, listed=False)


def _no_such(repository: str) -> UsageError:
    return UsageError(
        f"no such model: {repository!r}", hint="a model is a folder, a .gguf file, or org/name[@revision] on the hub"
    )


@contextmanager
def hub_errors(repository: str, revision: str | None) -> Iterator[None]:
    """Turn the errors of the hub's library into ours.

    UsageError for a name or revision that is none, AuthError, EnvironmentFault.
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415 - slow to import

    # OSError, and the network errors of whichever HTTP client this version of the library uses.
    network_errors = cast(tuple[type[Exception], ...], HfHubHTTPError.__bases__)
    try:
        yield
    except HFValidationError as error:
        raise _no_such(repository) from error
    except HfHubHTTPError as error:
        raise _refusal(error, repository, revision) from error
    except network_errors as error:
        raise EnvironmentFault(
            f"the hub cannot be reached ({type(error).__name__}: {error})", where=repository, hint="check the network"
        ) from error


def _refusal(error: Exception, repository: str, revision: str | None) -> XlingualError:
    from huggingface_hub.errors import GatedRepoError, RevisionNotFoundError  # noqa: PLC0415 - slow to import

    status: object = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, RevisionNotFoundError):
        return UsageError(f"no such revision: {revision!r}", where=repository, hint="use a branch, a tag or a commit")
    if isinstance(error, GatedRepoError):
        return AuthError(
            "the model is gated", where=repository, hint="accept its terms on the hub, then log in: hf auth login"
        )
    if status in (401, 403):
        return AuthError(
            "the hub has no public model of this name, or refuses the credentials",
            where=repository,
            hint="check the spelling, or log in: hf auth login",
        )
    if status == 404:
        return _no_such(repository)
    return EnvironmentFault(f"the hub answered {status}", where=repository, hint="try again later")
