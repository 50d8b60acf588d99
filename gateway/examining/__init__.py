"""The examinations of `buildspace doctor`: a module for each engine and one for the machine.

An examination returns a sentence about what works. It raises ConfigError or Unavailable with what is wrong and what
would be right, and leaves what it examines as it was.
"""
