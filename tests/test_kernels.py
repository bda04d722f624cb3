"""The mended nbclient: what comes while something is sent is noticed."""

import asyncio
import select

import zmq
import zmq.asyncio
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.session import Session

import autograde.jupyter_kernels  # noqa: F401


def test_a_reply_that_comes_during_a_send_is_noticed():
    async def talk():
        with zmq.asyncio.Context() as context:
            kernel = zmq.Context(context).socket(zmq.ROUTER)
            port = kernel.bind_to_random_port("tcp://127.0.0.1")
            session = Session(key=b"")
            client = AsyncZMQSocketChannel(context.socket(zmq.DEALER), session)
            client.socket.connect(f"tcp://127.0.0.1:{port}")
            client.send(session.msg("execute_request"))
            sender = kernel.recv_multipart()[0]
            reply = asyncio.ensure_future(client.get_msg())
            while not client.socket._recv_futures:  # until it waits
                await asyncio.sleep(0)
            kernel.send_multipart([sender, *session.serialize(session.msg("execute_reply"))])
            select.select([client.socket.FD], [], [])  # until the reply is there, with nobody told of it yet
            client.send(session.msg("comm_msg"))
            try:
                assert (await asyncio.wait_for(reply, timeout=60))["header"]["msg_type"] == "execute_reply"
            finally:
                kernel.close(linger=0)
                client.close()

    asyncio.run(talk())
