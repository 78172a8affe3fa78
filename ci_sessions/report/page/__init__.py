"""The HTML page of ``report``: values first, then templates."""
