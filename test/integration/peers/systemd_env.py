#!/usr/bin/python3
"""Reads the file $1 as EnvironmentFile= does, by the function of systemd's own library that its manager calls, and prints the entries, each with
a NUL behind it. Ends with 3 when systemd refuses the file or an entry."""

import ctypes
import glob
import os
import sys

library = ctypes.CDLL(max(glob.glob("/usr/lib/*/systemd/libsystemd-shared-*.so")))
entries = ctypes.POINTER(ctypes.c_char_p)()
library.load_env_file.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
library.env_assignment_is_valid.argtypes = [ctypes.c_char_p]
library.env_assignment_is_valid.restype = ctypes.c_bool
if library.load_env_file(None, os.fsencode(sys.argv[1]), ctypes.byref(entries)) < 0:
    sys.exit(3)
at = 0
while entries and entries[at] is not None:
    # the manager leaves out what is no assignment
    if not library.env_assignment_is_valid(entries[at]):
        sys.exit(3)
    sys.stdout.buffer.write(entries[at] + b"\0")
    at += 1
