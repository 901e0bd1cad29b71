"""What the process of Prefect's temporary server does: `python -m flows.temporary_server PORT`."""

import os
import sys
import threading

import uvicorn


def main() -> None:
    """Serve until the process that started this one ends, which closes the pipe that is our standard input."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="error",
        lifespan="on",
    )


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
