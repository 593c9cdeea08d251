#!/usr/bin/env python3
"""without-executable-memfd.py PROGRAM ARG...: executes PROGRAM as under vm.memfd_noexec=2."""

import ctypes
import os
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38
MEMFD_CREATE = {"x86_64": 319, "aarch64": 279}[os.uname().machine]
MFD_EXEC = 0x10
LOAD, EQUAL, ANY_OF, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER, SECOND_ARGUMENT = 0, 24  # in struct seccomp_data, on little-endian machines
ERRNO_EACCES, ALLOW = 0x0005000D, 0x7FFF0000


def main():
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in [
            (LOAD, 0, 0, NUMBER),
            (EQUAL, 0, 3, MEMFD_CREATE),
            (LOAD, 0, 0, SECOND_ARGUMENT),
            (ANY_OF, 0, 1, MFD_EXEC),
            (RETURN, 0, 0, ERRNO_EACCES),
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
