"""A participant's process, run as the services of the demo are: `python -m bench.speed.worker stock --broker …`."""

from __future__ import annotations

import sys

from bench.speed.shop import forgetful, service
from participants.run import main

if __name__ == "__main__":
    name, *options = sys.argv[1:]
    kind = forgetful if options[:1] == ["--forgetful"] else service
    sys.exit(main(kind(name), [option for option in options if option != "--forgetful"]))
