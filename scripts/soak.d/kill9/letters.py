"""What the producers send: a message's size and content follow from who sent it, where to, and its number there, so that
whoever reads it can say whether it is what it was. Producers in other languages (compat/) do the same sum."""

POOL_SIZE = 1 << 20
LARGEST = 700_000


class Letters:
    """`pool` is a file of random bytes from which each message takes its content."""

    def __init__(self, pool):
        with open(pool, "rb") as file:
            self._pool = file.read()
        if len(self._pool) != POOL_SIZE:
            raise ValueError(f"{pool} has {len(self._pool)} bytes instead of {POOL_SIZE}")

    def value(self, producer, partition, number):
        """`producer:partition:number:`, and 16 B to 4 KiB of the pool; once in a thousand times 200 to 700 KB."""
        mixed = (number * 2654435761 + partition * 40503 + producer * 97) & 0xFFFFFFFF
        size = 200_000 + mixed % 500_000 if mixed % 1000 == 0 else 16 << (mixed >> 10) % 9
        start = (mixed >> 5) % (POOL_SIZE - size)
        return b"%d:%d:%d:" % (producer, partition, number) + self._pool[start : start + size]


def sender(value):
    """Who sent a message: (producer, partition, number), or None where it does not say."""
    parts = value[:40].split(b":", 3)
    if len(parts) != 4:
        return None
    try:
        producer, partition, number = (int(part) for part in parts[:3])
    except ValueError:
        return None
    return producer, partition, number
