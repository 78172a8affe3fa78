#!/bin/bash
# Prints the documentation's table of contents; fails if a page has no title.
set -e
cd "$(dirname "${BASH_SOURCE[0]}")/../../docs"
for page in *.md; do
  title=$(head -n 1 "$page")
  [[ "$title" == "# "* ]] || { echo "$page has no title"; exit 1; }
  echo "$page: ${title#\# }"
done
