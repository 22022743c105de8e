"""Random models of the architectures that transformers knows, tiny, and the engine that takes each: the coverage table.

Four layers, width 64, on a vocabulary of 320 tokens. Sliding windows are of 32 tokens and chunks of 64, so that prompts
of up to 120 tokens are beyond what a layer sees.
"""

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from transformers import AutoConfig, GenerationConfig

from xlingual.decoder.loading import auto_class
from xlingual.records import Form, Request

VOCABULARY = 320
WINDOW = 32
SIZE: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3, "max_position_embeddings": 512,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": 0,
}  # fmt: skip
BY_ITSELF = "its layers compute attention by themselves, where nothing can take its place"
MIXED = ["sliding_attention", "full_attention"] * 2
EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
LATENT: dict[str, Any] = {
    "num_key_value_heads": 4, "kv_lora_rank": 16, "q_lora_rank": 24, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16,
    "v_head_dim": 12,
}  # fmt: skip
ROUTED: dict[str, Any] = {**EXPERTS, "n_routed_experts": 4, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "factor": 8.0, "original_max_position_embeddings": 64,
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7], "long_factor": [3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0],
}  # fmt: skip
VISION = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@dataclass(frozen=True, slots=True)
class Architecture:
    """A row of the coverage table."""

    name: str
    kind: str
    """transformers' `model_type`."""
    fields: dict[str, Any] = field(default_factory=dict)
    """What its configuration has besides SIZE, or instead."""
    reason: str | None = None
    """Why static batches answer, None where the packed engine does."""
    longest: int | None = None
    """Tokens beyond which static batches answer all the same."""
    text: dict[str, Any] | None = None
    """Of a multimodal model: what its `text_config` has besides SIZE; `fields` then are those around it."""


def dense() -> list[Architecture]:
    """Return plain decoders, by the way they encode positions and what is special about their layers."""
    head = {"head_dim": 16}
    return [
        Architecture("Llama", "llama"),
        Architecture("Llama 3 (rope)", "llama", {"rope_parameters": {
            "rope_type": "llama3", "rope_theta": 1e4, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64}}),
        Architecture("Llama (yarn)", "llama", {"rope_parameters": YARN}),
        Architecture("Llama (dynamic rope)", "llama", {"max_position_embeddings": 64, "rope_parameters": {
            "rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}}, longest=63),
        Architecture("Qwen2", "qwen2"),
        Architecture("Qwen3", "qwen3", head),
        Architecture("Phi", "phi"),
        Architecture("Phi-3", "phi3"),
        Architecture("Phi-3 (longrope)", "phi3", {
            "original_max_position_embeddings": 64, "rope_parameters": LONGROPE}, longest=64),
        Architecture("Gemma", "gemma", head),
        Architecture("GPT-2", "gpt2"),
        Architecture("GPT-NeoX (Pythia)", "gpt_neox"),
        Architecture("OPT", "opt", {"ffn_dim": 96, "word_embed_proj_dim": 64}),
        Architecture("BioGPT", "biogpt"),
        Architecture("GPTBigCode", "gpt_bigcode"),
        Architecture("StarCoder2", "starcoder2"),
        Architecture("StableLM", "stablelm"),
        Architecture("Nemotron", "nemotron"),
        Architecture("Persimmon", "persimmon"),
        Architecture("Cohere", "cohere"),
        Architecture("OLMo", "olmo"),
        Architecture("OLMo 2", "olmo2"),
        Architecture("Granite", "granite"),
        Architecture("SmolLM3", "smollm3"),
        Architecture("GLM", "glm", head),
        Architecture("GLM-4", "glm4", head),
        Architecture("Helium", "helium", head),
        Architecture("ERNIE 4.5", "ernie4_5", head),
        Architecture("Seed-OSS", "seed_oss", head),
        Architecture("Apertus", "apertus"),
        Architecture("Arcee", "arcee"),
        Architecture("HunYuan", "hunyuan_v1_dense", head),
        Architecture("InternLM 3", "internlm3", head),
        Architecture("NanoChat", "nanochat"),
        Architecture("BitNet", "bitnet"),
        Architecture("DiffLlama", "diffllama"),
        Architecture("Ministral 3 (scaled queries)", "ministral3", {**head, "rope_parameters": {
            **YARN, "llama_4_scaling_beta": 0.5}}),
    ]  # fmt: skip


def biased() -> list[Architecture]:
    """Return decoders with linear biases (ALiBi), whose layers compute attention by themselves."""
    return [
        Architecture("BLOOM", "bloom"),
        Architecture("BLOOM (12 heads)", "bloom", {"hidden_size": 96, "num_attention_heads": 12}),
        Architecture("MPT", "mpt", {"d_model": 64, "n_heads": 4, "n_layers": 4, "max_seq_len": 512}),
        Architecture("MPT (6 heads, clipped)", "mpt", {"d_model": 96, "n_heads": 6, "n_layers": 4, "max_seq_len": 512,
                                                       "attn_config": {"clip_qkv": 1.5}}),
        Architecture("Falcon (ALiBi, a key a head)", "falcon", {
            "new_decoder_architecture": False, "multi_query": False, "alibi": True, "num_kv_heads": 4}),
    ]  # fmt: skip


def windowed() -> list[Architecture]:
    """Return decoders with sliding windows, capped scores, sinks, or latent attention."""
    head = {"head_dim": 16}
    window = {"sliding_window": WINDOW}
    mixed = {**window, "layer_types": MIXED}
    per_layer = {"vocab_size_per_layer_input": 320, "hidden_size_per_layer_input": 16, "num_kv_shared_layers": 0}
    return [
        Architecture("Mistral", "mistral", window),
        Architecture("Ministral", "ministral", {**head, **window}),
        Architecture("Mixtral", "mixtral", {**window, **EXPERTS, "num_local_experts": 4}),
        Architecture("Phi-3 (window)", "phi3", window),
        Architecture("Qwen2 (window)", "qwen2", {**mixed, "use_sliding_window": True}),
        Architecture("StarCoder2 (window)", "starcoder2", window),
        Architecture("Gemma 2", "gemma2", {**head, **window, "attn_logit_softcapping": 2.0,
                                           "final_logit_softcapping": 5.0, "query_pre_attn_scalar": 16}),
        Architecture("VaultGemma", "vaultgemma", {**head, **window, "attn_logit_softcapping": 2.0}),
        Architecture("Gemma 3", "gemma3_text", {**head, **mixed}),
        Architecture("Gemma 3n", "gemma3n_text", {
            **head, **mixed, **per_layer, "intermediate_size": [96] * 4, "laurel_rank": 8,
            "activation_sparsity_pattern": [0.0] * 4}),
        Architecture("Gemma 4 (one head size)", "gemma4_text", {
            **head, **mixed, **per_layer, "global_head_dim": 16}),
        Architecture("Gemma 3n (shared keys)", "gemma3n_text", {
            **head, **mixed, **per_layer, "num_kv_shared_layers": 2, "intermediate_size": [96] * 4, "laurel_rank": 8,
            "activation_sparsity_pattern": [0.0] * 4}),
        Architecture("Gemma 4 (shared keys)", "gemma4_text", {
            **head, **mixed, **per_layer, "num_kv_shared_layers": 2, "global_head_dim": 16}),
        Architecture("Gemma 4", "gemma4_text", {
            **head, **mixed, **per_layer, "global_head_dim": 32},
            reason="its layers have heads of different numbers or sizes"),
        Architecture("Cohere 2", "cohere2", mixed),
        Architecture("OLMo 3", "olmo3", mixed),
        Architecture("EXAONE 4", "exaone4", {**mixed, "sliding_window_pattern": 2}),
        Architecture("gpt-oss", "gpt_oss", {**head, **mixed, **EXPERTS, "num_local_experts": 4, "rope_parameters": {
            "rope_type": "default", "rope_theta": 1e4}}),
        Architecture("Granite SWA", "granite_swa", mixed),
        Architecture("DeepSeek V2", "deepseek_v2", {**LATENT, **EXPERTS, "n_routed_experts": 4, "n_group": 1,
                                                    "topk_group": 1, "first_k_dense_replace": 1}),
        Architecture("DeepSeek V3", "deepseek_v3", {**LATENT, **ROUTED}),
        Architecture("GLM-4 MoE Lite", "glm4_moe_lite", {**LATENT, **ROUTED}),
        Architecture("MiniCPM 3", "minicpm3", LATENT),
        Architecture("Youtu", "youtu", LATENT),
    ]  # fmt: skip


def experts_and_wrappers() -> list[Architecture]:
    """Return mixtures of experts, and language models within multimodal ones."""
    head = {"head_dim": 16}
    mixed = {"sliding_window": WINDOW, "layer_types": MIXED}
    return [
        Architecture("Qwen2 MoE", "qwen2_moe", {**EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 32}),
        Architecture("Qwen3 MoE", "qwen3_moe", {**head, **EXPERTS, "num_experts": 4}),
        Architecture("OLMoE", "olmoe", {"num_experts_per_tok": 2, "num_experts": 4}),
        Architecture("PhiMoE", "phimoe", {"num_experts_per_tok": 2, "num_local_experts": 4}),
        Architecture("JetMoE", "jetmoe", {"num_experts_per_tok": 2, "num_local_experts": 4, "kv_channels": 16}),
        Architecture("GraniteMoE", "granitemoe", {"num_experts_per_tok": 2, "num_local_experts": 4}),
        Architecture("GLM-4 MoE", "glm4_moe", {**head, **ROUTED}),
        Architecture("dots.llm1", "dots1", {**head, **ROUTED, "n_shared_experts": 1}),
        Architecture("ERNIE 4.5 MoE", "ernie4_5_moe", {**EXPERTS, "moe_num_experts": 4, "moe_k": 2}),
        Architecture("MiniMax M2", "minimax_m2", {**head, "num_experts_per_tok": 2, "num_local_experts": 4}),
        Architecture("Llama 4 (text)", "llama4_text", {
            **head, "intermediate_size_mlp": 96, "num_local_experts": 4, "interleave_moe_layer_step": 2,
            "attention_chunk_size": 64, "floor_scale": 48, "no_rope_layers": [1, 0, 1, 0]}, longest=47),
        Architecture("Gemma 3 (with images)", "gemma3", {
            "vision_config": VISION, "mm_tokens_per_image": 4}, text={**head, **mixed}),
        Architecture("Qwen2-VL", "qwen2_vl", {"vision_config": {"depth": 1, "embed_dim": 32, "num_heads": 2,
                                                                "hidden_size": 64}},
                     text={"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}}),
        Architecture("Qwen2.5-VL", "qwen2_5_vl", {"vision_config": {
            "depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 64}},
            text={"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}}),
        Architecture("Qwen3-VL", "qwen3_vl", {"vision_config": {
            "depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 64,
            "deepstack_visual_indexes": [0]}},
            text={**head, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}}),
        Architecture("Mistral 3 (with images)", "mistral3", {"vision_config": {
            "model_type": "pixtral", **VISION, "head_dim": 16}}, text={"model_type": "mistral", **head,
                                                                       "sliding_window": None}),
        Architecture("Llama 4 (with images)", "llama4", {"vision_config": VISION}, text={
            **head, "intermediate_size_mlp": 96, "num_local_experts": 4, "interleave_moe_layer_step": 2,
            "attention_chunk_size": 64, "floor_scale": 48, "no_rope_layers": [1, 0, 1, 0]}, longest=47),
    ]  # fmt: skip


def static() -> list[Architecture]:
    """Return the architectures that the packed engine does not take."""
    head = {"head_dim": 16}
    return [
        Architecture("GPT-J", "gptj", {"rotary_dim": 8}, reason=BY_ITSELF),
        Architecture("GPT-Neo", "gpt_neo", {"attention_types": [[["global", "local"], 2]], "num_layers": 4,
                                            "num_heads": 4, "window_size": 32}, reason=BY_ITSELF),
        Architecture("CodeGen", "codegen", {"rotary_dim": 8, "n_head": 4}, reason=BY_ITSELF),
        Architecture("Falcon", "falcon", {"new_decoder_architecture": False, "alibi": False}, reason=BY_ITSELF),
        Architecture("Falcon (ALiBi, one key)", "falcon", {"new_decoder_architecture": False, "alibi": True},
                     reason=BY_ITSELF),
        Architecture("XGLM", "xglm", {"d_model": 64, "ffn_dim": 96, "attention_heads": 4, "num_layers": 4},
                     reason=BY_ITSELF),
        Architecture("RWKV", "rwkv", {"attention_hidden_size": 64, "context_length": 512}, reason=BY_ITSELF),
        Architecture("Mamba", "mamba", {"state_size": 8}, reason="it has layers of the type linear_attention"),
        Architecture("Mamba 2", "mamba2", {"state_size": 8, "num_heads": 8, "head_dim": 16, "n_groups": 2,
                                           "chunk_size": 16}, reason="it has layers of the type linear_attention"),
        Architecture("Falcon Mamba", "falcon_mamba", {"state_size": 8},
                     reason="it has layers of the type linear_attention"),
        Architecture("Falcon-H1", "falcon_h1", {**head, "mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16,
                                                "mamba_d_state": 8, "mamba_chunk_size": 16},
                     reason="it has layers of the type hybrid"),
        Architecture("Qwen3-Next", "qwen3_next", {
            **head, **EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 32, "linear_num_value_heads": 4,
            "linear_num_key_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 16},
            reason="it has layers of the type linear_attention"),
        Architecture("Qwen3.5", "qwen3_5_text", {
            **head, "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16,
            "linear_value_head_dim": 16}, reason="it has layers of the type linear_attention"),
        Architecture("DeepSeek V3.2", "deepseek_v32", {
            **LATENT, **ROUTED, "index_topk": 16, "index_n_heads": 2, "index_head_dim": 16},
            reason="it has layers of the type indexed_attention"),
        Architecture("GLM-5 (selected keys)", "glm_moe_dsa", {
            **LATENT, **ROUTED, "index_topk": 90, "index_n_heads": 2, "index_head_dim": 16},
            reason="it has layers of the type indexed_attention"),
        Architecture("LFM2", "lfm2", {"layer_types": ["conv", "full_attention"] * 2},
                     reason="it has layers of the type conv"),
        Architecture("RecurrentGemma", "recurrent_gemma", {**head, "lru_width": 64, "attention_window_size": 64},
                     reason="it has layers of the type linear_attention"),
        Architecture("MiniMax", "minimax", {**head, "num_experts_per_tok": 2, "num_local_experts": 4, "block_size": 16},
                     reason="it has layers of the type linear_attention"),
        Architecture("Bamba", "bamba", {"mamba_n_heads": 4, "mamba_d_head": 32, "mamba_d_state": 8,
                                        "mamba_chunk_size": 16, "attn_layer_indices": [1]},
                     reason="it has layers of the type linear_attention"),
    ]  # fmt: skip


def build(architecture: Architecture) -> Any:  # noqa: ANN401 - of transformers
    """Return the random model."""
    fields = {**SIZE, **architecture.fields}
    if architecture.text is not None:
        fields = {**architecture.fields, "text_config": {**SIZE, **architecture.text}, "pad_token_id": 0}
    torch.manual_seed(5)
    config = AutoConfig.for_model(architecture.kind, **fields)
    model: Any = auto_class(config).from_config(config).eval()
    model.generation_config = type(model.generation_config)()
    return model


Tokens = tuple[int, ...]
NEW = 16
"""Tokens of an answer."""


def prompts() -> list[Tokens]:
    """Return prompts of 23 to 120 tokens that share prefixes of 20, 50 and 90."""
    generator = torch.Generator().manual_seed(3)
    shared = torch.randint(3, VOCABULARY, (90,), generator=generator).tolist()
    sizes = [((20, 50, 90)[number % 3], (5, 30, 3, 60)[number % 4]) for number in range(10)]
    return [
        tuple(shared[:before] + torch.randint(3, VOCABULARY, (own,), generator=generator).tolist())
        for before, own in sizes
    ]


def load(model: Any) -> Any:  # noqa: ANN401 - of transformers; of the plugin
    """Return the model as loaded, without a tokenizer and without tokens that end an answer."""
    loaded: Any = importlib.import_module("xlingual.plugins.models.hf.loaded_model")
    return loaded.LoadedModel(model=model, tokenizer=None, device="cpu", end_ids=(), pad_id=0, context_length=512)


def generate_alone(model: Any, prompt: Tokens) -> list[int]:  # noqa: ANN401 - of transformers
    """Return the new tokens of transformers' own `generate`, the prompt by itself."""
    ids = torch.tensor([prompt])
    settings = GenerationConfig(do_sample=False, max_new_tokens=NEW, eos_token_id=None, pad_token_id=0)
    found = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    return [int(each) for each in found[0, len(prompt) :]]


def answer(
    engine: Any,  # noqa: ANN401 - a module of the plugin with `respond` and `is_stopped`
    generate: Callable[..., Iterable[object]],
    loaded: Any,  # noqa: ANN401 - of the plugin
    asked: Sequence[Tokens],
    rows: int,
) -> dict[Tokens, list[int]]:
    """Return the new tokens of each prompt from an engine, `rows` at once."""
    rendering: Any = importlib.import_module("xlingual.plugins.models.hf.tokens.rendering")
    limits: Any = importlib.import_module("xlingual.plugins.models.hf.limits")
    found: dict[Tokens, list[int]] = {}

    def respond(_loaded: object, prompt: Any, new: list[int], *_ends: object) -> object:  # noqa: ANN401 - Rendered
        found[prompt.ids] = [int(each) for each in new[:NEW]]
        return prompt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "respond", respond)
        requests = [
            rendering.Rendered(
                request=Request(key=str(number), form=Form.TEXT, messages=(), stop=(), max_new_tokens=NEW), ids=ids
            )
            for number, ids in enumerate(asked)
        ]
        assert len(list(generate(loaded, requests, limits.RowLimit(rows=rows)))) == len(asked)
    return found


def check_packed(architecture: Architecture) -> None:
    """Check that the packed engine takes what the table says of a model, and answers it as `generate` does."""
    scheduler: Any = importlib.import_module("xlingual.plugins.models.hf.packed.scheduler")
    verification: Any = importlib.import_module("xlingual.plugins.models.hf.packed.verification")
    model = build(architecture)
    asked = prompts()
    # Before anything is changed in the model.
    expected = {each: generate_alone(model, each) for each in asked}
    ready = verification.try_packed(load(model))
    assert (ready.refusal, ready.longest) == (architecture.reason, architecture.longest)
    taken = [each for each in asked if ready.verified and verification.takes_length(ready, len(each) + NEW)]
    assert bool(taken) == (architecture.reason is None)
    assert answer(scheduler, scheduler.generate_packed, ready, taken, 6) == {each: expected[each] for each in taken}


def coverage_table() -> str:
    """Return the table of docs/engine.md: architectures by the engine that answers, and why."""
    groups = {
        "attention to all that comes before": dense(),
        "linear biases (ALiBi) are a component of the keys, in float32; else static": biased(),
        "sliding windows, capped scores, sinks and latent attention (MLA) are computed": windowed(),
        "experts, and the language models of multimodal ones, are transformers' own modules": experts_and_wrappers(),
        "": static(),
    }
    names: dict[tuple[str, str], list[str]] = {}
    for why, group in groups.items():
        for each in group:
            row = ("static", each.reason) if each.reason else ("packed", why)
            if each.longest is not None:
                row = ("packed, then static", "from some length on, a token depends on the longest text of a pass")
            names.setdefault(row, []).append(each.name)
    rows = [f"| {', '.join(found)} | {engine} | {why} |" for (engine, why), found in names.items()]
    return "\n".join(["| architectures | engine | why |", "| --- | --- | --- |", *sorted(rows, key=_rank)])


def _rank(row: str) -> int:
    return ["packed", "packed, then static", "static"].index(row.split(" | ")[1])
