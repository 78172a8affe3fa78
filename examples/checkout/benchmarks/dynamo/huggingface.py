"""See _models.py."""

from _models import main

main()
