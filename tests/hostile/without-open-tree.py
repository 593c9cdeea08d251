#!/usr/bin/env python3
"""without-open-tree.py PROGRAM ARG...: executes PROGRAM where open_tree(2) is not permitted."""

import ctypes
import os
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38
OPEN_TREE = 428  # the same on every architecture
LOAD_NUMBER, EQUAL, RETURN = 0x20, 0x15, 0x06
ERRNO_EPERM, ALLOW = 0x00050001, 0x7FFF0000


def main():
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in [
            (LOAD_NUMBER, 0, 0, 0),
            (EQUAL, 0, 1, OPEN_TREE),
            (RETURN, 0, 0, ERRNO_EPERM),
            (RETURN, 0, 0, ALLOW),
        ]
    )
    code = ctypes.create_string_buffer(program)
    sock_fprog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, sock_fprog, 0, 0):
        sys.exit(os.strerror(ctypes.get_errno()))
    os.execv(sys.argv[1], sys.argv[1:])


main()
