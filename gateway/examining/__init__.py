"""What `buildspace doctor` looks at, a module for each engine and one for the machine.

An examination answers with a sentence of what is well. It raises ConfigError or Unavailable with what is wrong and what
would be right, and leaves what it examines as it was.
"""
