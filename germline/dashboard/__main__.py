"""`python -m germline.dashboard`: what `germline run --dashboard` starts beside its master."""

from __future__ import annotations

import sys

from germline.cli import main

if __name__ == "__main__":
    main(["dashboard", *sys.argv[1:]])
