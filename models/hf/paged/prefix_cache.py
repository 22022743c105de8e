"""The prefix cache: a radix tree of pages, so that what one prompt computed is not computed again for another.

    page size 4, prompts  ABCD EFGH IJ   and   ABCD EFXY Z

    root - ABCD - EFGH - IJ             the second prompt shares the page ABCD as it is, and gets a copy of EFGH, of
             `--- EFXY - Z              which it uses two tokens; it computes X, Y and Z

Only full pages are shared; any page, full or not, may be copied. A page stays in the tree when its rows are done, until
its place is needed: then the leaf goes that was unused for longest.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from .pages import PageAllocator

MIN_COPIED_TOKENS = 16
"""A page is copied for no fewer tokens: computing these costs less than the copy."""


@dataclass(slots=True, eq=False)
class PageNode:
    """A page of the tree; `tokens` are what its keys and values are known to be of, a page full or fewer."""

    page: int
    tokens: tuple[int, ...]
    parent: "PageNode | None"
    step: int
    """The step that computes the last of them."""
    keys: list[tuple[int, ...]] = field(default_factory=list)
    """The tokens of the children, sorted."""
    children: list["PageNode"] = field(default_factory=list)
    """In the order of `keys`."""

    def find(self, tokens: tuple[int, ...]) -> "PageNode | None":
        """Return the child with just these tokens."""
        place = bisect_left(self.keys, tokens)
        return self.children[place] if place < len(self.keys) and self.keys[place] == tokens else None

    def closest(self, tokens: tuple[int, ...]) -> "tuple[PageNode | None, int]":
        """Return the child that shares the most first tokens, and how many; in sorted order it is a neighbour."""
        place = bisect_left(self.keys, tokens)
        found: PageNode | None = None
        most = 0
        for index in (place - 1, place):
            if 0 <= index < len(self.keys) and (count := shared_tokens(self.keys[index], tokens)) > most:
                found, most = self.children[index], count
        return found, most

    def add(self, child: "PageNode") -> None:
        """Add a child."""
        place = bisect_left(self.keys, child.tokens)
        self.keys.insert(place, child.tokens)
        self.children.insert(place, child)

    def remove(self, child: "PageNode") -> None:
        """Take a child out."""
        place = bisect_left(self.keys, child.tokens)
        while self.children[place] is not child:
            place += 1
        del self.keys[place], self.children[place]


@dataclass(frozen=True, slots=True)
class PrefixMatch:
    """What of a text is in the cache: whole pages, then some tokens of a page that is to be copied."""

    nodes: tuple[PageNode, ...]
    copied: PageNode | None
    """The page to copy, None where that would not pay."""
    tokens: int
    """Of both."""


@dataclass(slots=True)
class PrefixCache:
    """The radix tree, and the pages of which no row uses any, in the order of their last use."""

    allocator: PageAllocator
    page_size: int
    root: PageNode = field(default_factory=lambda: PageNode(-1, (), None, -1))
    nodes: dict[int, PageNode] = field(default_factory=dict)
    """By page."""
    unused: "OrderedDict[int, None]" = field(default_factory=OrderedDict)
    """Pages of the tree that no row uses; the one that was unused for longest first."""

    @property
    def available(self) -> int:
        """Pages that can be allocated now."""
        return len(self.allocator.free) + len(self.unused)

    def match(self, tokens: Sequence[int], limit: int) -> PrefixMatch:
        """Return what of the first `limit` tokens is known."""
        size = self.page_size
        nodes: list[PageNode] = []
        node = self.root
        while (len(nodes) + 1) * size <= limit:
            start = len(nodes) * size
            child = node.find(tuple(tokens[start : start + size]))
            if child is None:
                break
            nodes.append(child)
            node = child
        start = len(nodes) * size
        copied, count = node.closest(tuple(tokens[start : min(start + size, limit)]))
        if copied is None or count < min(MIN_COPIED_TOKENS, size // 2):
            return PrefixMatch(tuple(nodes), None, start)
        return PrefixMatch(tuple(nodes), copied, start + count)

    def take(self, match: PrefixMatch) -> None:
        """Count a row that uses the whole pages of a match; the page to copy is not given away before `let_go`."""
        for node in match.nodes:
            self.unused.pop(node.page, None)
            self.allocator.retain(node.page)
        if match.copied is not None:
            self.unused.pop(match.copied.page, None)

    def let_go(self, pages: Sequence[int]) -> None:
        """Note that `pages` are copied: they may be given away where no row uses them."""
        for page in pages:
            if self.allocator.rows[page] == 0 and page in self.nodes:
                self.unused[page] = None

    def release(self, pages: Sequence[int]) -> None:
        """Count a row less for each of `pages`, given in the order of the text: the last ones are to go first."""
        for page in reversed(pages):
            self.allocator.release(page)
        self.let_go(pages[::-1])

    def allocate(self) -> int | None:
        """Return a page for one row, taken from the tree where none is free; None where all are in use."""
        page = self.allocator.allocate()
        while page is None and self._evict():
            page = self.allocator.allocate()
        return page

    def insert(self, tokens: Sequence[int], pages: Sequence[int], step: int) -> None:
        """Add the pages of a row whose `tokens` are computed by `step` at the latest.

        A page whose text the tree has already is left out.
        """
        size = self.page_size
        node = self.root
        for place in range(-(-len(tokens) // size)):
            key = tuple(tokens[place * size : (place + 1) * size])
            child = node.find(key)
            if child is None:
                if len(key) < size and node.closest(key)[1] == len(key):
                    return
                child = self._add(node, key, pages[place], step)
                if child is None:
                    return
            node = child

    def _add(self, parent: PageNode, key: tuple[int, ...], page: int, step: int) -> PageNode | None:
        node = self.nodes.get(page)
        if node is None:
            node = PageNode(page, key, parent, step)
            self.nodes[page] = node
            self.allocator.keep(page)
            parent.add(node)
            return node
        # The page of a row stands in the tree with fewer tokens: the row has computed more since.
        if node.parent is not parent or node.children or key[: len(node.tokens)] != node.tokens:
            return None
        parent.remove(node)
        node.tokens, node.step = key, step
        parent.add(node)
        return node

    def _evict(self) -> bool:
        """Take the leaf out of the tree that was unused for longest; False where every page is in use."""
        allocator = self.allocator
        for page in self.unused:
            node = self.nodes[page]
            if node.children or node.parent is None or allocator.written[page] > allocator.finished:
                continue
            node.parent.remove(node)
            del self.nodes[page], self.unused[page]
            self.allocator.drop(page)
            return True
        return False


def shared_tokens(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many first tokens two texts share."""
    most = min(len(left), len(right))
    if left[:most] == right[:most]:
        return most
    return next(index for index in range(most) if left[index] != right[index])
