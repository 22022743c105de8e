"""A model behind a server with a small JSON protocol: `tinyserver:http://HOST:PORT`.

POST URL/complete {"prompt": "...", "max_tokens": 32} is answered with {"text": "...", "ended": true}.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from http.client import HTTPException
from urllib.request import urlopen

from xlingual import Failure, Model, ModelOptions, ModelSpec, Request, Response, register_model
from xlingual.identity import content_hash, repair_surrogates
from xlingual.records import Finish, Form
from xlingual.text import find_stop


@dataclass(frozen=True, slots=True)
class TinyServer:
    spec: ModelSpec
    url: str
    at_once: int

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        return None  # only the server has the tokenizer

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        with ThreadPoolExecutor(self.at_once) as pool:
            try:
                for done in as_completed([pool.submit(self._ask, request) for request in requests]):
                    yield done.result()
            finally:
                pool.shutdown(cancel_futures=True)  # who stops early wants no more answers

    def _ask(self, request: Request) -> Response:
        text = failure = finish = None
        try:
            if request.choices or request.form is Form.CHAT:
                raise ValueError("the server continues texts and does nothing else")
            body = {"prompt": request.messages[0].text, "max_tokens": request.max_new_tokens}
            with urlopen(f"{self.url}/complete", json.dumps(body).encode(), timeout=60) as reply:
                said = json.load(reply)
            text = repair_surrogates(said["text"])
            cut = find_stop(text, request.stop)
            finish = Finish.STOP if cut is not None else Finish.EOS if said["ended"] else Finish.LENGTH
            text = text[:cut]
        except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:  # never an empty answer
            text, failure = None, Failure(kind=type(error).__name__, message=str(error))
        return Response(key=request.key, text=text, failure=failure, finish=finish, prompt_tokens=None, tokens=None)

    def close(self) -> None: ...


@register_model("tinyserver", uses=("batch_size",))
def open_tinyserver(name: str, options: ModelOptions) -> Model:
    """Open the model behind the server at `name`; nothing is sent yet."""
    spec = ModelSpec(word=f"tinyserver:{name}", backend="tinyserver", name=name, revision=None, dtype=None, parent=None,
                     fingerprint=content_hash(["tiny", 1, name]), template="raw", context_length=None)  # fmt: skip
    return TinyServer(spec, name.rstrip("/"), options.batch_size or 8)
