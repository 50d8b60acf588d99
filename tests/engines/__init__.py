"""The real servers that the tests run against. Each starts on free ports in a folder of its own and stops."""
