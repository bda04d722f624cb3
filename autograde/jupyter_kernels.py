"""nbclient, mended: no cell waits beside a kernel that has answered. A pytest plug-in, for nbmake; imported elsewhere.

While nbclient awaits a cell's reply it answers the widgets that the cell makes, over the same socket. jupyter_client sends past
pyzmq's asyncio wrapper, and a send takes the wake-up of a reply that has just come: the file descriptor tells of new messages once.
Nobody looks again before the cell's time is up. (Outside asyncio: ipython/ipykernel#1529.)
"""

import zmq
from jupyter_client.channels import AsyncZMQSocketChannel

_send = AsyncZMQSocketChannel.send


def send_and_look(self: AsyncZMQSocketChannel, message: dict) -> None:
    """Send as nbclient's channel does, and look at once for what has come meanwhile."""
    _send(self, message)
    self.socket.get(zmq.EVENTS)  # pyzmq wakes whoever waits for what has come


AsyncZMQSocketChannel.send = send_and_look
