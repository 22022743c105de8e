"""The training loop: a plan and its rows to a model, exact, packed, resumable, on one process or many.

    distribution   rows of a step -> packs of each rank and pass
    batches        a pack -> tensors
    attention      documents of a pack see themselves only
    loss           cross-entropy over supervised positions, in chunks
    loading        base weights -> a module that can be trained, with adapters where the method has them
    parallel       processes, sharding, precision
    schedule       learning rate and place of a step
    ledger         losses by source and language, read once a log
    checkpoints    state to disk and back, on any number of ranks
    export         weights, tokenizer and provenance for the world
    loop           all of it, step by step

Everything but `settings` and `observing` imports torch; nothing here is imported before a training starts.
"""
