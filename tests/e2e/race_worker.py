"""One process of test_07_conditional: a worker with a connection of its own.

usage: race_worker.py HOST PORT ACCESS SECRET COMMAND ARGUMENT ...
  square BUCKET INDEX       put key INDEX with value INDEX * INDEX
  choose BUCKET KEY VALUE   put KEY with If-None-Match: *
Waits for a line on stdin before it sends, then prints the status.
"""
import sys

from s3http import S3


def main():
    host, port, access, secret, command, bucket, *rest = sys.argv[1:]
    s3 = S3(host, int(port), access, secret)
    conn = s3.connect()
    conn.connect()
    print("here", flush=True)
    sys.stdin.readline()
    if command == "square":
        index = int(rest[0])
        reply = s3.put(bucket, rest[0], str(index * index).encode(),
                       connection=conn)
    else:
        reply = s3.put(bucket, rest[0], rest[1].encode(),
                       {"If-None-Match": "*"}, connection=conn)
    print(reply.status, reply.code or "-", flush=True)


main()
