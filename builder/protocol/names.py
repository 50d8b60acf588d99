"""One name in two spellings: snake_case in Python and TOML, camelCase in JSON."""


def camel_case(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
