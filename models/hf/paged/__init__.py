"""The paged engine: keys and values in pages, prompts beside decoding rows, a constant number of kernels a step.

In the order in which a request meets them:

    verification   may this model run here? its logits against those of its own forward pass
    generation     plan, launch, read: the next step is launched before the tokens of the last one are seen
    scheduler      which tokens the next step computes; who enters, and who is preempted where pages run out
    sequences      a prompt with its pages, and its part of a step
    prefix_cache   the radix tree of pages: what prompts share is computed once
    pages          reference counts, the free list, and the tensors of keys and values
    step_inputs    all that a step reads, in one buffer
    engine         launches a step and reads its tokens; CUDA graphs of decode steps
    step_queue     the stream of a GPU, and its double on a CPU
    forward        transformers' modules with our attention function
    fused_operations  norms and rotations in one kernel each, on a GPU
    kernels        attention over pages
    draws          sampling without a wait of the host
"""
