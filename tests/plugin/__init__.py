"""The pytest plugin, on a project that has nothing to do with wirelab."""
