"""The settings of a build, from the call, the project and the repository's files: `read_settings`."""
