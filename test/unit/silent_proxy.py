"""A TCP proxy to the port of its argument, for test_http_client_silence.c: prints its port. At SIGUSR1 every connection there is falls
silent for ever, both ways and without FIN or RST, as a load balancer does that has forgotten them; new ones work."""
import asyncio
import signal
import sys

current = silent = 0  # the numbers of the last connection, and of the last one that fell silent


async def copy(source, sink, number):
    try:
        while (data := await source.read(65536)) and number > silent:
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    if number <= silent:
        await asyncio.Event().wait()
    sink.close()


async def connected(reader, writer):
    global current
    current += 1
    number = current
    upstream = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    await asyncio.gather(copy(reader, upstream[1], number), copy(upstream[0], writer, number))


def fall_silent():
    global silent
    silent = current
    print(silent, flush=True)


async def main():
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, fall_silent)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
