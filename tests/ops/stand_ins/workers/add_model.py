"""Stands in for the registration of a model: shows its arguments, ends with code 3."""

import sys

print(sys.argv[1:], flush=True)
sys.exit(3)
