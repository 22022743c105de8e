"""What servers tell about themselves, each in a document of its own, as one record.

GET  /v1/models         all: names; vLLM, SGLang: root, max_model_len; llama.cpp: meta
GET  /props             llama.cpp: file, window, chat template
POST /api/show          Ollama: template, window; GET /api/tags: digest
GET  /get_model_info    SGLang: path and version of the weights
GET  /info              TGI: name and commit of the model
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from xlingual.identity import Json, content_hash
from xlingual.thinking import ThinkingMarkers, find_markers

WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length", "max_input_tokens")
"""Names of the context length in lists of models."""
PROGRAMS = {"vllm": "vllm", "sglang": "sglang", "llamacpp": "llama.cpp", "llama.cpp": "llama.cpp", "library": "ollama"}
"""The server program behind the `owned_by` of a model."""
MAX_DIGITS = 13
"""No window has so many."""
MAX_DETAIL = 200
"""Characters of a detail that are recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a server has told about a model; nothing where it tells nothing."""

    program: str | None = None
    """vllm, sglang, llama.cpp, ollama or tgi."""
    names: tuple[str, ...] | None = None
    """Of the models it lists; None where it lists none."""
    listed: bool = False
    """Whether the name that it was asked for is among them."""
    own_name: str | None = None
    """What the server calls the model, where that is not the name it was asked for."""
    context_length: int | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    """What tells the model from another one behind the same URL and name."""
    details: Mapping[str, str] = field(default_factory=dict)
    """What a reader should know besides."""
    counts_tokens: bool = False
    """Whether it tells how many tokens a prompt has."""
    markers: ThinkingMarkers | None = None
    refused: frozenset[str] = frozenset()
    """Parameters that it has refused already."""

    def also(self, more: "ServerFacts") -> "ServerFacts":
        """Return these facts and `more`, which tells of the same model."""
        windows = [each.context_length for each in (self, more) if each.context_length is not None]
        return replace(
            self,
            program=self.program or more.program,
            context_length=min(windows, default=None),
            identity={**self.identity, **more.identity},
            details={**self.details, **more.details},
            markers=self.markers or more.markers,
        )

    @property
    def fingerprinted(self) -> dict[str, str]:
        """What enters the fingerprint of the model."""
        return dict(self.identity) if self.own_name is None else {**self.identity, "server's name": self.own_name}

    @property
    def recorded(self) -> dict[str, str]:
        """What a result says of the server."""
        shown = {**self.details, **self.fingerprinted}
        if self.program is not None:
            shown["server program"] = self.program
        return {name: value[:MAX_DETAIL] for name, value in sorted(shown.items())}


def read_models(document: Json, name: str, *, own: bool) -> ServerFacts:
    """Return what a list of models says of the one called `name`; of the only one there is, where none is called so.

    `own`: the server is one's own, so that what it says of a model changes with the model only. Lists of hosted
    services change their words at any time.
    """
    rows = [row for row in _rows(document) if _name_of(row)]
    names = tuple(dict.fromkeys(_name_of(row) for row in rows))
    if not names:
        return ServerFacts(names=None if not isinstance(_list_of(document), list) else ())
    row = next((row for row in rows if name in _names_of(row)), None)
    found = row or (rows[0] if len(names) == 1 else {})
    owner = str(found.get("owned_by") or "")
    program = PROGRAMS.get(owner.casefold())
    identity = {}
    if own or program is not None:
        root = found.get("root")
        identity = {"root": root} if isinstance(root, str) and root and root != name else {}
        identity |= {"owned by": owner} if program is not None else {}
        meta = found.get("meta")
        for key in ("n_params", "size", "n_vocab"):
            if isinstance(meta, Mapping) and isinstance(meta.get(key), int):
                identity[key] = str(meta[key])
    window = _whole(found, WINDOWS)
    return ServerFacts(
        program=program, names=names, listed=row is not None, context_length=window, identity=identity,
        details={} if window is None else {"context length": str(window)},
    )  # fmt: skip


def _list_of(document: Json) -> Json:
    if isinstance(document, Mapping):
        return next((document[key] for key in ("data", "models") if isinstance(document.get(key), list)), None)
    return document


def _rows(document: Json) -> list[Mapping[str, Json]]:
    rows = _list_of(document)
    named = [{"id": row} if isinstance(row, str) else row for row in (rows if isinstance(rows, list) else [])]
    return [row for row in named if isinstance(row, Mapping)]


def _name_of(row: Mapping[str, Json]) -> str:
    return next((name for key in ("id", "name", "model") if isinstance(name := row.get(key), str)), "")


def _names_of(row: Mapping[str, Json]) -> set[str]:
    """Return all that a model is called by: Ollama's `:latest` and Google's `models/` may be left out."""
    name = _name_of(row)
    aliases = row.get("aliases")
    more = [each for each in aliases if isinstance(each, str)] if isinstance(aliases, list) else []
    return {name, name.removesuffix(":latest"), name.removeprefix("models/"), *more}


def _whole(row: Mapping[str, Json], names: Sequence[str]) -> int | None:
    """Return the first of the fields that is a whole number above 0, in digits or as a float too."""
    for name in names:
        value = row.get(name)
        if (isinstance(value, float) and value.is_integer()) or (
            isinstance(value, str) and value.isdecimal() and len(value) < MAX_DIGITS
        ):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def read_props(document: Mapping[str, Json]) -> ServerFacts | None:
    """Return what llama.cpp's `/props` says, None for a document of something else."""
    settings = document.get("default_generation_settings")
    template = document.get("chat_template")
    path = document.get("model_path")
    if not isinstance(settings, Mapping) and not isinstance(path, str):
        return None
    window = _whole(settings, ("n_ctx",)) if isinstance(settings, Mapping) else None
    build = document.get("build_info")
    return ServerFacts(
        program="llama.cpp",
        context_length=window or _whole(document, ("n_ctx",)),
        identity={**({"file": path} if isinstance(path, str) else {}), **_template(template)},
        details={"build": build} if isinstance(build, str) else {},
        markers=find_markers(template) if isinstance(template, str) else None,
    )


def read_show(document: Mapping[str, Json], tags: Mapping[str, Json], name: str) -> ServerFacts | None:
    """Return what Ollama's `/api/show` and `/api/tags` say, None for a document of something else."""
    info, template = document.get("model_info"), document.get("template")
    if not isinstance(info, Mapping) and not isinstance(document.get("details"), Mapping):
        return None
    parameters = document.get("parameters")
    chosen = re.search(r"num_ctx\s+(\d+)", parameters) if isinstance(parameters, str) else None
    windows = info if isinstance(info, Mapping) else {}
    most = _whole(windows, [key for key in windows if key.endswith(".context_length")])
    rows = [row for row in _rows(tags) if name in _names_of(row)]
    digest = rows[0].get("digest") if rows else None
    return ServerFacts(
        program="ollama",
        context_length=int(chosen[1]) if chosen else most,
        identity={**({"digest": digest} if isinstance(digest, str) else {}), **_template(template)},
        details=_texts(document.get("details"), ("family", "parameter_size", "quantization_level")),
        markers=find_markers(template) if isinstance(template, str) else None,
    )


def read_model_info(document: Mapping[str, Json]) -> ServerFacts | None:
    """Return what SGLang's `/get_model_info` says, None for a document of something else."""
    identity = _texts(document, ("model_path", "weight_version"))
    return ServerFacts(program="sglang", identity=identity) if "model path" in identity else None


def read_info(document: Mapping[str, Json]) -> ServerFacts | None:
    """Return what TGI's `/info` says, None for a document of something else."""
    identity = _texts(document, ("model_id", "model_sha", "model_dtype"))
    window = _whole(document, ("max_total_tokens",))
    return ServerFacts(program="tgi", identity=identity, context_length=window) if "model id" in identity else None


def _texts(document: Json, names: Sequence[str]) -> dict[str, str]:
    if not isinstance(document, Mapping):
        return {}
    return {name.replace("_", " "): value for name in names if isinstance(value := document.get(name), str) and value}


def _template(template: Json) -> dict[str, str]:
    return {"chat template": content_hash(template)[:12]} if isinstance(template, str) and template else {}
