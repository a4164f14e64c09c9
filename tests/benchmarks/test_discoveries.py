"""The clock of row 11."""

import time

import anyio

from benchmarks.rows.discoveries import SimulatedTime


def test_waits_are_counted_and_not_waited_for():
    """Sleeping for a day takes no time and shows on the loop's clock; who wakes first is as ever."""
    woken = []

    async def sleeper(seconds):
        await anyio.sleep(seconds)
        woken.append(seconds)

    async def day():
        started = anyio.current_time()
        async with anyio.create_task_group() as group:
            for seconds in (86_400, 60, 3600):
                group.start_soon(sleeper, seconds)
        return anyio.current_time() - started

    started = time.monotonic()
    shown = anyio.run(day, backend_options={"loop_factory": SimulatedTime})
    assert 86_400 <= shown < 86_460
    assert woken == [60, 3600, 86_400]
    assert time.monotonic() - started < 60
