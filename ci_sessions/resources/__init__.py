"""Facts that change often, as data."""
