/*
 * uninitialized.h - large buffers on the stack of which only the beginning is used.
 *
 * The compiler zeroes variables that have no initializer (-ftrivial-auto-var-init), so that a mistake finds
 * zeros and not what was on the stack before. Of 16 KiB for a line of log that is most of the work, and it
 * pushes out of the processor's cache what the call is about. Only for buffers with a length beside them, or
 * an end that the writer sets.
 */
#ifndef COMMON_BASE_UNINITIALIZED_H
#define COMMON_BASE_UNINITIALIZED_H

#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define UNINITIALIZED __attribute__((uninitialized))
#endif
#endif
#ifndef UNINITIALIZED
#define UNINITIALIZED
#endif

#endif
