"""From a recipe and a base to the plan of a training and its tokenized rows; the training loop is `xlingual.training`.

In the order of reading, which is that of the data:

    records        Recipe -> EncodedRows, MixPlan -> TuneRecord: what is stored, and what each field means
    recipe         a TOML file -> Recipe
    contamination  what leaderboards test on: files that are refused, rows that are left out
    audit          what is wrong with rows, counted; which of them a filter leaves out
    chats          conversations -> rows whose answers stand behind what they are given to
    encoding       examples of a source -> tokenized rows, filtered and counted
    source_rows    the rows of a source as arrays
    mix            amounts and budget -> how often each row is drawn in an epoch
    order, packing the rows of each step -> packed sequences for every rank and micro-batch
    plan           all of these -> MixPlan and its id
    rows_file      tokenized rows on disk
    prepare        the whole way, and plans stored and read back
    cost           hours and memory of a plan on a GPU

Nothing here loads a weight or imports torch.
"""
