"""An event loop in a thread of its own, seen from outside as a plain iterator."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
JOIN_SECONDS = 5.0
"""For the thread to end after it was told to; it is a daemon, so that nothing waits for it at exit."""


class _End:
    """Comes after the last item, with the error that ended the work if there was one."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error


def iterate(work: Callable[[Callable[[Item], None]], Awaitable[None]]) -> Iterator[Item]:
    """Run `work`, which is given a function to deliver items with, and yield the items as they come.

    Raises what `work` raises. Closing the iterator, or a signal in the consumer, cancels `work` and ends the thread.
    """
    items: SimpleQueue[Item | _End] = SimpleQueue()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []
    ready = threading.Event()

    async def main() -> None:
        task = asyncio.current_task()
        if task is not None:
            running.append((asyncio.get_running_loop(), task))
        ready.set()
        await work(items.put)

    def body() -> None:
        error: Exception | None = None
        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            pass
        except Exception as caught:  # noqa: BLE001 - carried to the consumer's thread
            error = caught
        finally:
            ready.set()
            items.put(_End(error))

    thread = threading.Thread(target=body, name="xlingual-openai", daemon=True)
    thread.start()
    try:
        # Blocks without polling: on the main thread a signal handler still runs, and what it raises ends the wait.
        while not isinstance(item := items.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        ready.wait(JOIN_SECONDS)
        for loop, task in running:
            with suppress(RuntimeError):  # the loop is closed: nothing is left to cancel
                loop.call_soon_threadsafe(task.cancel)
        thread.join(JOIN_SECONDS)
