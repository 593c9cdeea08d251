#!/usr/bin/env python3
"""What libseccomp makes of profiles, driven as runc drives it: for each profile, a line of
JSON on stdin, a line of JSON on stdout with the names that it does not know and the program,
or with the error of a profile that it refuses. A profile whose "native" is false is not for
this machine. Ends with status 77 where there is none."""

import ctypes
import json
import os
import sys
import tempfile

try:
    LIB = ctypes.CDLL("libseccomp.so.2")
except OSError as error:
    print(error, file=sys.stderr)
    sys.exit(77)

LIB.seccomp_init.restype = ctypes.c_void_p
for function in (LIB.seccomp_arch_native, LIB.seccomp_arch_resolve_name):
    function.restype = ctypes.c_uint32
EPERM = 1
ERROR = -1  # __NR_SCMP_ERROR
OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE
ACTIONS = {
    "KILL": 0,
    "KILL_THREAD": 0,
    "KILL_PROCESS": 0x80000000,
    "TRAP": 0x00030000,
    "ERRNO": 0x00050000,
    "TRACE": 0x7FF00000,
    "LOG": 0x7FFC0000,
    "ALLOW": 0x7FFF0000,
    "NOTIFY": 0x7FC00000,
}
OPERATORS = {"NE": 1, "LT": 2, "LE": 3, "EQ": 4, "GE": 5, "GT": 6, "MASKED_EQ": 7}


class Comparison(ctypes.Structure):
    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    ]


def action(name, errno):
    name = name.removeprefix("SCMP_ACT_")
    data = EPERM if errno is None else errno
    return ACTIONS[name] | (data if name in ("ERRNO", "TRACE") else 0)


def comparison(arg):
    operator = OPERATORS[arg["op"].removeprefix("SCMP_CMP_")]
    return Comparison(arg["index"], operator, arg["value"], arg.get("valueTwo", 0))


def check(result, doing):
    if result != 0:
        raise ValueError(f"{doing}: {os.strerror(-result)}")


def add(context, rule, value, number):
    arguments = rule.get("args", [])
    indices = [argument["index"] for argument in arguments]
    sets = [arguments]
    if len(indices) != len(set(indices)):
        sets = [[argument] for argument in arguments]
    for conditions in sets:
        array = (Comparison * len(conditions))(*map(comparison, conditions))
        result = LIB.seccomp_rule_add_array(
            context, ctypes.c_uint32(value), number, len(conditions), array
        )
        check(result, "seccomp_rule_add")


def build(profile):
    default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    context = ctypes.c_void_p(LIB.seccomp_init(ctypes.c_uint32(default)))
    unknown = []
    try:
        if not profile.get("native", True):
            # One byte order is all that it takes at a time.
            check(LIB.seccomp_arch_remove(context, LIB.seccomp_arch_native()), "seccomp_arch_remove")
        for arch in profile.get("architectures", []):
            name = arch.removeprefix("SCMP_ARCH_").lower().encode()
            LIB.seccomp_arch_add(context, LIB.seccomp_arch_resolve_name(name))
        if sum(len(rule["names"]) for rule in profile["syscalls"]) > 32:
            LIB.seccomp_attr_set(context, OPTIMIZE, 2)
        for rule in profile["syscalls"]:
            value = action(rule["action"], rule.get("errnoRet"))
            for name in rule["names"]:
                number = LIB.seccomp_syscall_resolve_name(name.encode())
                if number == ERROR:
                    unknown.append(name)
                elif value != default:
                    add(context, rule, value, number)
        with tempfile.TemporaryFile() as file:
            check(LIB.seccomp_export_bpf(context, file.fileno()), "seccomp_export_bpf")
            file.seek(0)
            return {"unknown": unknown, "program": file.read().hex()}
    except ValueError as error:
        return {"error": str(error)}
    finally:
        LIB.seccomp_release(context)


for line in sys.stdin:
    print(json.dumps(build(json.loads(line))))
