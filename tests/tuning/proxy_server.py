"""A real gRPC proxy of Optuna before a database: ``python proxy_server.py PORT URL``."""

import subprocess
import sys
from contextlib import contextmanager


@contextmanager
def serve_proxy(database, port):
    """Run a proxy before *database* in a process of its own; yield its address and the process."""
    from optuna.storages import GrpcStorageProxy

    process = subprocess.Popen([sys.executable, __file__, str(port), database])
    try:
        GrpcStorageProxy(host="127.0.0.1", port=port).wait_server_ready(60)
        yield f"grpc://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


def main(port, database):
    from optuna.storages import get_storage, run_grpc_proxy_server

    run_grpc_proxy_server(get_storage(database), host="127.0.0.1", port=int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
