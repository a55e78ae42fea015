/*
 * start_pages.h - the program's own pages that only the start needed.
 *
 * To start, a program goes through much of its file once: relocations, options, the sandbox, the setup of
 * libraries. The kernel keeps these pages mapped, and where all memory is locked (memory_lock.h) they would
 * never leave memory again.
 */
#ifndef COMMON_PROCESS_START_PAGES_H
#define COMMON_PROCESS_START_PAGES_H

#include <stddef.h>

/* Unmaps the pages of the program's code and constants; each comes back when it is needed next, from the file
 * or from the kernel's cache of it. Other threads may run. Returns the bytes whose pages were given back: 0
 * where the kernel refuses, which costs memory only (locked pages: before Linux 5.18). */
size_t start_pages_give_back(void);

#endif
