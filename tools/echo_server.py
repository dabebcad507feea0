#!/usr/bin/env python3
"""A TCP server that returns every byte, for trying tunnels. What comes and goes is logged on standard error.

    echo_server.py [--host 127.0.0.1] [--port 7777]      port 0 takes a free one
"""
import argparse
import asyncio
import signal
import sys
import time

PIECE = 65536


def log(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def place(address):
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


async def serve(reader, writer):
    """Returns bytes until the client ends; then ends, too."""
    client = place(writer.get_extra_info("peername"))
    received = sent = 0
    log(f"{client} connected")
    try:
        while data := await reader.read(PIECE):
            received += len(data)
            log(f"{client} received {len(data)} bytes")
            writer.write(data)
            await writer.drain()
            sent += len(data)
            log(f"{client} sent {len(data)} bytes")
        writer.write_eof()
        ending = "closed"
    except OSError as why:
        ending = f"closed: {why.strerror or why}"
    finally:
        writer.close()
    log(f"{client} {ending}, {received} bytes received, {sent} bytes sent")


async def run(host, port):
    server = await asyncio.start_server(serve, host, port)
    for listener in server.sockets:
        log(f"listening on {place(listener.getsockname())}")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    arguments.add_argument("--port", type=int, default=7777, help="port to listen on (%(default)s)")
    chosen = arguments.parse_args()
    try:
        asyncio.run(run(chosen.host, chosen.port))
    except OSError as why:
        sys.exit(f"echo_server: cannot listen on {chosen.host}:{chosen.port}: {why.strerror or why}")


if __name__ == "__main__":
    main()
