"""The packed engine: answers and log-likelihoods without padding, for models whose attention can be replaced.

In the order in which a request meets them:

    verification     may this model run here? its logits against those of its own forward pass
    prefix_tree      which prompts share which prefixes
    scheduler        continuous batching: waiting sequences enter as finished ones leave
    likelihood       the same for choices: prefill only
    running_batch    the running sequences, and their rows of the KV cache
    kv_cache         keys and values of prefixes and sequences
    chunked_prefill  prefixes and suffixes cut into forward passes
    prompt_lookup    draft tokens looked up in the prompt (n-gram speculative decoding)
    batch_plan       attention metadata of a prefill pass or a decode step
    forward          the forward pass, by transformers' modules or by `fused_llama`
    attention        prefill attention, and shared-prefix (cascade) attention for decoding
    alibi            attention with linear biases, in layers that compute attention by themselves
    fused_llama      the fused forward of Llama-shaped models on a CPU
    linear           its linear kernels: dense or prepacked
    linear_view      the module that takes the place of a fused linear one
    weight_changes   what fusing changed in a model, and how it is undone
    memory           lazy zeros, and memory-mapped weights whose pages are released
"""
