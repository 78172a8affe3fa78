"""Several processes that add their numbers over sockets."""

import socket
import subprocess
import sys
import unittest

WORKER = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as link:
    link.sendall(sys.argv[2].encode() + b"\\n")
    sys.exit(0 if link.makefile().readline().strip() == sys.argv[3] else 1)
"""


class TestAllReduce(unittest.TestCase):
    def test_every_rank_gets_the_sum(self):
        ranks = [1, 2, 3]
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(30)
            port = str(server.getsockname()[1])
            workers = [subprocess.Popen([sys.executable, "-c", WORKER, port, str(rank), "6"]) for rank in ranks]
            links = [server.accept()[0] for _ in ranks]
            files = [link.makefile("rw") for link in links]
            total = sum(int(file.readline()) for file in files)
            for file, link in zip(files, links):
                file.write(f"{total}\n")
                file.flush()
            codes = [worker.wait(timeout=30) for worker in workers]
            for file, link in zip(files, links):
                file.close()
                link.close()
        self.assertEqual((total, codes), (6, [0, 0, 0]))
