"""The published COMET models from the Hugging Face hub, at pinned revisions, and converted at once."""

import os
from pathlib import Path
from typing import cast

from ...errors import AuthError, EnvironmentFault, ModelError, XlingualError
from ...files import hash_file
from ...files.network import hub_is_offline, reach_hub
from .conversion import SENTENCEPIECE, Conversion, convert
from .location import find_change, find_model, model_folder
from .model_record import TOKENIZER
from .published import PUBLISHED, PublishedModel


def fetch(name: str) -> Path:
    """Return the folder of the model of a metric, fetched and converted unless a sound one is there.

    The checkpoint stays in the cache of the hub's own client, too. Raises EnvironmentFault within seconds where the hub
    cannot be reached, AuthError where it asks for an account, ModelError for other bytes than the pinned ones.
    """
    model = PUBLISHED[name]
    found = find_model(name)
    if found.fault is None and find_change(found) is None:
        return found.folder
    where = f"hub {model.repository} @{model.revision[:7]}"
    hint = f"on a machine with a network, convert it there and copy the folder to {model_folder(name)} here"
    if hub_is_offline():
        raise EnvironmentFault("HF_HUB_OFFLINE forbids the network", where=where, hint=hint)
    try:
        reach_hub(where)
    except EnvironmentFault as fault:
        raise EnvironmentFault(fault.what, where=where, hint=hint) from fault
    checkpoint = _fetch_file(model, model.repository, model.revision, model.checkpoint.path)
    hparams = _fetch_file(model, model.repository, model.revision, model.hparams.path)
    if model.hparams.sha256 is not None and hash_file(hparams) != model.hparams.sha256:
        raise ModelError(f"{model.hparams.path} is not the pinned one", where=where)
    config = _fetch_file(model, model.encoder, model.encoder_revision, "config.json")
    try:
        _fetch_file(model, model.encoder, model.encoder_revision, TOKENIZER)
    except ModelError:
        _fetch_file(model, model.encoder, model.encoder_revision, SENTENCEPIECE)
    convert(Conversion(name=name, checkpoint=checkpoint, hparams=hparams, encoder=config.parent), model_folder(name))
    return model_folder(name)


def _fetch_file(model: PublishedModel, repository: str, revision: str, path: str) -> Path:
    """Return a file of the hub, from its client's cache or fetched; ModelError where the repository lacks it."""
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - slow to import
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415 - as above

    # Its bases are the errors of the HTTP client, which is another package from one version of the hub's to the next.
    client_errors = cast(tuple[type[Exception], ...], HfHubHTTPError.__bases__)
    failures: tuple[type[Exception], ...] = (OSError, ValueError, RuntimeError, *client_errors)
    where = f"hub {repository} @{revision[:7]} {path}"
    try:
        # The package reads both variables when it is imported, which may be long ago.
        endpoint, cache = os.environ.get("HF_ENDPOINT") or None, os.environ.get("HF_HUB_CACHE") or None
        return Path(hf_hub_download(repository, path, revision=revision, endpoint=endpoint, cache_dir=cache))
    except failures as error:
        raise _explain(error, model, where) from error


def _explain(error: Exception, model: PublishedModel, where: str) -> XlingualError:
    """Return what an exception of the hub's client means; it hides what a server said behind its own cache."""
    said = [getattr(each, "response", None) for each in (error, error.__cause__)]
    status = next((each.status_code for each in said if each is not None), None)
    if status in (401, 403):
        what = f"the hub asks for an account that has accepted the licence ({model.licence})"
        return AuthError(what, where=where, hint=f"accept it at {model.address}, then set HF_TOKEN")
    if status == 404:
        return ModelError("there is no such file", where=where)
    if status is not None:
        return EnvironmentFault(f"the hub said {status}", where=where, hint="try again later")
    return EnvironmentFault(str(error).partition("\n")[0], where=where)
