"""Words for messages."""


def number_of(count: int, noun: str) -> str:
    """`1 job` or `1,200 jobs`, of the noun `job`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
