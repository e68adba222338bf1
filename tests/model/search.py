"""Every state that can be reached, nearest first, until one is wrong."""

from tests.model.protocol import Protocol, State, Step


class TooMany(Exception):
    """There are more states than were allowed for: nothing has been shown."""


def find_violation(protocol: Protocol, *, most: int) -> tuple[list[str] | None, int]:
    """The shortest story that ends with a wrong answer, or None; and how many states were looked at.

    Raises:
        TooMany: the search had to be broken off.
    """
    start = State()
    came_from: dict[State, Step | None] = {start: None}
    frontier = [start]
    while frontier:
        following: list[State] = []
        for state in frontier:
            for label, after in protocol.successors(state):
                step = (label, state)
                if came_from.setdefault(after, step) is not step:
                    continue
                if after.wrong:
                    return _story(came_from, after), len(came_from)
                following.append(after)
        if len(came_from) > most:
            raise TooMany(f"{len(came_from)} states and no end")
        frontier = following
    return None, len(came_from)


def _story(came_from: dict[State, Step | None], end: State) -> list[str]:
    story: list[str] = []
    step = came_from[end]
    while step is not None:
        label, before = step
        story.append(label)
        step = came_from[before]
    return story[::-1]
