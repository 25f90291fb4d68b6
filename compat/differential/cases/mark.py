def case(function):
    """Marks a function as a case."""
    function.is_case = True
    return function


def dropped(function):
    """Marks a function as a case about what Kafka 4 no longer has: it is compared with the last version that had it."""
    function.is_dropped = True
    return case(function)
