"""The code inside: the sandbox starts it with `python -I -S`, so it uses only the standard library."""
