def case(function):
    """Marks a function as a case."""
    function.is_case = True
    return function
