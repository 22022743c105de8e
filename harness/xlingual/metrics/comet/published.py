"""The COMET models that have a name here: which bytes they are, how we know, and what their licences ask."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A file of a repository of the Hugging Face hub."""

    path: str
    sha256: str | None
    """Of its bytes; None: unknown, nobody published it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """A COMET checkpoint as its authors published it."""

    name: str
    """Of the metric."""
    repository: str
    revision: str
    checkpoint: HubFile
    hparams: HubFile
    encoder: str
    """Repository of the encoder, whose configuration and tokenizer are needed, not its weights."""
    encoder_revision: str
    unified: bool
    """Hypothesis and source are read as one text, without a reference; else each text by itself."""
    licence: str
    gated: bool
    """Whether the hub asks for an account that has accepted the licence."""
    gigabytes: float
    """Of the checkpoint."""
    checked: bool
    """Whether we held the checkpoint itself and computed its SHA-256."""
    evidence: str
    """Where revision and SHA-256 are from."""

    @property
    def how_to_get(self) -> str:
        """What a user does to get it, with the licence."""
        fetch = f"xlingual metrics {self.name} --fetch"
        size = f"{self.gigabytes:g} GB"
        if self.gated:
            return f"accept {self.licence} at {self.address}, set HF_TOKEN, then {fetch} ({size})"
        return f"{fetch} ({size}, {self.licence})"

    @property
    def address(self) -> str:
        """The page where the licence stands."""
        return f"https://huggingface.co/{self.repository}"


PUBLISHED = {
    model.name: model
    for model in (
        PublishedModel(
            name="comet22",
            repository="Unbabel/wmt22-comet-da",
            revision="2760a223ac957f30acfb18c8aa649b01cf1d75f2",
            checkpoint=HubFile(
                path="checkpoints/model.ckpt",
                sha256="e213091cde220f97b89f8bdfa750c458cfea741ad62affb455b59900210ff2af",
            ),
            hparams=HubFile(
                path="hparams.yaml", sha256="265ef22345ea5b9ffa020a7fe5be613a95ff931c44bf8d09a26d96c6c6048f60"
            ),
            encoder="FacebookAI/xlm-roberta-large",
            encoder_revision="c23d21b0620b635a76227c604d44e43a9f0ee389",
            unified=False,
            licence="Apache-2.0",
            gated=False,
            gigabytes=2.3,
            checked=False,
            evidence="four public projects pin this revision with this SHA-256",
        ),
        PublishedModel(
            name="cometkiwi22",
            repository="Unbabel/wmt22-cometkiwi-da",
            revision="1ad785194e391eebc6c53e2d0776cada8f83179a",
            checkpoint=HubFile(
                path="checkpoints/model.ckpt",
                sha256="4f357aa38b0737dcd502f166238c99711ff3419d7b5c8cdf9cde08525a8e7858",
            ),
            hparams=HubFile(
                path="hparams.yaml", sha256="eee0f391b4e2baee489117e59d967a9be0b1ad027556152c6cefcd41039c778c"
            ),
            encoder="microsoft/infoxlm-large",
            encoder_revision="d616d637f0720deda963cebbfc630657d2b7d3ae",
            unified=True,
            licence="CC BY-NC-SA 4.0",
            gated=True,
            gigabytes=2.3,
            checked=False,
            evidence="the revision by several public projects, the SHA-256 by one of them",
        ),
    )
}
"""Rei et al. 2022, COMET-22 and CometKiwi (WMT 2022), by the name of the metric."""

_NOT_COVERED = "ast ceb ckb ff ig kam kea lb lg ln luo mi mt nso ny oc sn tg umb wo yo zu"
NOT_COVERED = frozenset(_NOT_COVERED.split())
"""Codes of languages that the encoders never saw: the model cards call scores of these unreliable."""
