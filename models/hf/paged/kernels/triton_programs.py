"""The programs of the triton kernel, compiled by triton at their first launch; `triton_kernel` launches them.

One program takes a block of queries of one row with all query heads of one KV head, and walks over a part (a split) of
the row's keys with a running softmax, as in FlashAttention. A second program merges the splits, as in Flash-Decoding.
Maxima and log-sum-exps are to the base 2.

This module is imported where triton is installed and nowhere else. Its functions have many arguments, for a program
knows no records.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
FLOOR = tl.constexpr(-1.0e30)
"""Where a running maximum begins: finite, so that a query that sees no key yet has weights of 0 and not NaN."""


@triton.jit
def find_row(cu_seqlens: tl.tensor, row_count: tl.tensor, number: tl.tensor, queries: tl.constexpr) -> tl.tensor:
    """Return the row of block `number`; the blocks of row r begin at `cu_seqlens[r] // queries + r`."""
    low = 0
    high = row_count
    while high - low > 1:
        middle = (low + high) // 2
        if tl.load(cu_seqlens + middle) // queries + middle <= number:
            low = middle
        else:
            high = middle
    return low


# fmt: off
@triton.jit
def key_range(  # noqa: PLR0913
    first: tl.tensor, used: tl.tensor, split: tl.tensor, splits: tl.tensor, window: tl.tensor,
    queries: tl.constexpr, tile: tl.constexpr, has_window: tl.constexpr,
) -> tl.tensor:
    """Return where the keys of a split begin, where those end that every query sees, and where all end.

    `first` is the position of the block's first query. All but the last are multiples of `tile`.
    """
    # fmt: on
    end = tl.minimum(used, first + queries)
    start = 0
    if has_window:
        start = tl.maximum(0, first - window + 1) // tile * tile
    each = tl.cdiv(tl.cdiv(end - start, tile), splits) * tile
    low = start + split * each
    high = tl.minimum(low + each, end)
    shared = low
    if not has_window:
        shared = tl.maximum(low, tl.minimum(high, first + 1) // tile * tile)
    return low, shared, high


# fmt: off
@triton.jit
def load_tile(  # noqa: PLR0913
    pages: tl.tensor, line: tl.tensor, start: tl.tensor, used: tl.tensor,
    page_stride: tl.tensor, slot_stride: tl.tensor,
    page: tl.constexpr, tile: tl.constexpr, size: tl.constexpr, width: tl.constexpr, masked: tl.constexpr,
) -> tl.tensor:
    """Return keys or values `start` to `start + tile`, (tile, width); 0 behind the last one and beyond `size`."""
    # fmt: on
    each = tl.arange(0, tile)
    slots = start + each
    if page % tile == 0:
        number = tl.load(line + start // page).to(tl.int64)
        offsets = number * page_stride + (start % page + each) * slot_stride
    else:
        # The table is not read behind the last key: what stands there may be anything.
        numbers = tl.load(line + slots // page, mask=slots < used, other=0).to(tl.int64)
        offsets = numbers * page_stride + (slots % page) * slot_stride
    columns = tl.arange(0, width)
    pointers = pages + offsets[:, None] + columns[None, :]
    if masked:
        loaded = tl.load(pointers, mask=(slots < used)[:, None] & (columns < size)[None, :], other=0.0)
    elif width != size:
        loaded = tl.load(pointers, mask=(columns < size)[None, :], other=0.0)
    else:
        loaded = tl.load(pointers)
    return loaded


# fmt: off
@triton.jit
def scores_of(  # noqa: PLR0913
    query: tl.tensor, key: tl.tensor, start: tl.tensor, position: tl.tensor,
    scale: tl.tensor, softcap: tl.tensor, slope: tl.tensor, window: tl.tensor,
    tile: tl.constexpr, masked: tl.constexpr,
    has_window: tl.constexpr, has_softcap: tl.constexpr, has_alibi: tl.constexpr,
) -> tl.tensor:
    """Return the scores to the base 2, (block, tile); -inf where a query does not see a key."""
    # fmt: on
    # "ieee": float32 stays float32 where the matrix units would take tf32.
    scores = tl.dot(query, tl.trans(key), input_precision="ieee")
    if has_softcap:
        capped = 1.0 - 2.0 / (tl.exp2(scores * (scale * 2.0 * LOG2_E / softcap)) + 1.0)
        scores = capped * (softcap * LOG2_E)
    else:
        scores = scores * (scale * LOG2_E)
    distance = (start + tl.arange(0, tile))[None, :] - position[:, None]
    if has_alibi:
        scores += slope[:, None] * distance
    if masked:
        seen = distance <= 0
        if has_window:
            seen = seen & (distance > -window)
        scores = tl.where(seen, scores, float("-inf"))
    return scores


# fmt: off
@triton.jit
def walk(  # noqa: PLR0913
    gathered: tl.tensor, maximum: tl.tensor, total: tl.tensor, query: tl.tensor, position: tl.tensor,
    low: tl.tensor, high: tl.tensor, used: tl.tensor, keys: tl.tensor, values: tl.tensor, line: tl.tensor,
    k_page: tl.tensor, k_slot: tl.tensor, v_page: tl.tensor, v_slot: tl.tensor,
    scale: tl.tensor, softcap: tl.tensor, slope: tl.tensor, window: tl.tensor,
    page: tl.constexpr, tile: tl.constexpr, key_size: tl.constexpr, value_size: tl.constexpr,
    key_width: tl.constexpr, value_width: tl.constexpr, masked: tl.constexpr,
    has_window: tl.constexpr, has_softcap: tl.constexpr, has_alibi: tl.constexpr,
) -> tl.tensor:
    """Add the keys from `low` to `high` to a running softmax: the weighted values, their maximum, their total."""
    # fmt: on
    for start in range(low, high, tile):
        key = load_tile(keys, line, start, used, k_page, k_slot, page, tile, key_size, key_width, masked)
        # fmt: off
        scores = scores_of(
            query, key, start, position, scale, softcap, slope, window, tile, masked, has_window, has_softcap, has_alibi
        )
        # fmt: on
        highest = tl.maximum(maximum, tl.max(scores, 1))
        weights = tl.exp2(scores - highest[:, None])
        kept = tl.exp2(maximum - highest)
        total = total * kept + tl.sum(weights, 1)
        value = load_tile(values, line, start, used, v_page, v_slot, page, tile, value_size, value_width, masked)
        gathered = tl.dot(weights.to(value.dtype), value, gathered * kept[:, None], input_precision="ieee")
        maximum = highest
    return gathered, maximum, total


# fmt: off
@triton.jit
def store(  # noqa: PLR0913
    out: tl.tensor, lse: tl.tensor, gathered: tl.tensor, maximum: tl.tensor, total: tl.tensor,
    at: tl.tensor, real: tl.tensor, value_size: tl.constexpr, value_width: tl.constexpr, partial: tl.constexpr,
) -> None:
    """Write the answers of a block to `at`, pairs of a token and a head, and if `partial` their log-sum-exps."""
    # fmt: on
    columns = tl.arange(0, value_width)
    divisor = tl.where(total == 0.0, 1.0, total)
    answers = (gathered / divisor[:, None]).to(out.dtype.element_ty)
    inside = real[:, None] & (columns < value_size)[None, :]
    tl.store(out + at[:, None] * value_size + columns[None, :], answers, mask=inside)
    if partial:
        tl.store(lse + at, tl.where(total == 0.0, FLOOR, maximum + tl.log2(divisor)), mask=real)


# fmt: off
@triton.jit(
    do_not_specialize=["scale", "softcap", "window", "row_count", "tokens", "splits"],
    do_not_specialize_on_alignment=["cu_seqlens", "seqused", "table", "table_row"],
)
def attend_pages(  # noqa: PLR0913
    out: tl.tensor, lse: tl.tensor, query: tl.tensor, keys: tl.tensor, values: tl.tensor,
    cu_seqlens: tl.tensor, seqused: tl.tensor, table: tl.tensor, sinks: tl.tensor, slopes: tl.tensor,
    scale: tl.tensor, softcap: tl.tensor, window: tl.tensor, row_count: tl.tensor, tokens: tl.tensor, splits: tl.tensor,
    q_token: tl.tensor, q_head: tl.tensor, k_page: tl.tensor, k_slot: tl.tensor, k_head: tl.tensor,
    v_page: tl.tensor, v_slot: tl.tensor, v_head: tl.tensor, table_row: tl.tensor,
    heads: tl.constexpr, group: tl.constexpr, key_size: tl.constexpr, value_size: tl.constexpr,
    key_width: tl.constexpr, value_width: tl.constexpr, page: tl.constexpr,
    block: tl.constexpr, queries: tl.constexpr, tile: tl.constexpr, decode: tl.constexpr, partial: tl.constexpr,
    has_window: tl.constexpr, has_softcap: tl.constexpr, has_sinks: tl.constexpr, has_alibi: tl.constexpr,
) -> None:
    """Attend `block` pairs of a query and a head over one split of their row's keys.

    `out` is (splits, tokens, heads, value size); `lse`, (splits, tokens, heads), is written if `partial`.
    """
    # fmt: on
    number = tl.program_id(0)
    row = number if decode else find_row(cu_seqlens, row_count, number, queries)
    begins = tl.load(cu_seqlens + row)
    length = tl.load(cu_seqlens + row + 1) - begins
    # The first query of the block within its row: of decoding rows, each its own block, 0.
    local = 0 if decode else (number - begins // queries - row) * queries
    if local >= length:
        return
    used = tl.load(seqused + row)
    kv_head = tl.program_id(1)
    split = tl.program_id(2)
    pairs = tl.arange(0, block)
    index = local + pairs // group
    head = kv_head * group + pairs % group
    real = (pairs < queries * group) & (index < length)
    position = used - length + index
    token = (begins + index).to(tl.int64)
    columns = tl.arange(0, key_width)
    at = (token * q_token + head * q_head)[:, None] + columns[None, :]
    q = tl.load(query + at, mask=real[:, None] & (columns < key_size)[None, :], other=0.0)
    low, shared, high = key_range(used - length + local, used, split, splits, window, queries, tile, has_window)

    maximum = tl.full([block], FLOOR, tl.float32)
    total = tl.zeros([block], tl.float32)
    if has_sinks and split == 0:
        maximum = tl.load(sinks + head, mask=real, other=0.0).to(tl.float32) * LOG2_E
        total += 1.0
    slope = tl.zeros([block], tl.float32)
    if has_alibi:
        slope = tl.load(slopes + head, mask=real, other=0.0).to(tl.float32) * LOG2_E
    gathered = tl.zeros([block, value_width], tl.float32)
    line = table + row.to(tl.int64) * table_row
    # fmt: off
    for masked in tl.static_range(2):
        gathered, maximum, total = walk(
            gathered, maximum, total, q, position, shared if masked else low, high if masked else shared, used,
            keys + kv_head * k_head, values + kv_head * v_head, line, k_page, k_slot, v_page, v_slot,
            scale, softcap, slope, window, page, tile, key_size, value_size, key_width, value_width, masked,
            has_window, has_softcap, has_alibi,
        )
    # fmt: on
    at = (split.to(tl.int64) * tokens + token) * heads + head
    store(out, lse, gathered, maximum, total, at, real, value_size, value_width, partial)


# fmt: off
@triton.jit(do_not_specialize=["pairs", "splits"])
def merge_splits(  # noqa: PLR0913
    out: tl.tensor, parts: tl.tensor, lse: tl.tensor, pairs: tl.tensor, splits: tl.tensor,
    value_size: tl.constexpr, value_width: tl.constexpr,
) -> None:
    """Weigh the `splits` partial answers of one pair of a query and a head, of `pairs`, by their log-sum-exps."""
    # fmt: on
    pair = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, value_width)
    inside = columns < value_size
    maximum = FLOOR
    for split in range(splits):
        maximum = tl.maximum(maximum, tl.load(lse + split * pairs + pair))
    total = 0.0
    gathered = tl.zeros([value_width], tl.float32)
    for split in range(splits):
        at = split * pairs + pair
        weight = tl.exp2(tl.load(lse + at) - maximum)
        part = tl.load(parts + at * value_size + columns, mask=inside, other=0.0)
        gathered += tl.where(weight > 0.0, weight * part, 0.0)
        total += weight
    tl.store(out + pair * value_size + columns, (gathered / total).to(out.dtype.element_ty), mask=inside)
