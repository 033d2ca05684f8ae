/* check.h: assertions that stay on in release.
 *
 * CHECK states what the programmer promises: arguments, state, relations. It is
 * never used on bytes that come from disk, network or a user; those are
 * ERR_CORRUPT or ERR_BAD_INPUT. A failed CHECK prints the condition and its
 * place on stderr and aborts: a store that is not sure of itself stops before
 * it acknowledges anything more.
 *
 * Threads: any.
 */
#ifndef GODWIT_BASE_CHECK_H
#define GODWIT_BASE_CHECK_H

_Noreturn void check_failed(const char *condition, const char *file, int line);

#define CHECK(cond)                                  \
    do {                                             \
        if (__builtin_expect(!(cond), 0)) {          \
            check_failed(#cond, __FILE__, __LINE__); \
        }                                            \
    } while (0)

/* An object that comes back through a void pointer carries a magic number. */
#define CHECK_OBJ(ptr, number)           \
    do {                                 \
        CHECK((ptr) != NULL);            \
        CHECK((ptr)->magic == (number)); \
    } while (0)

#endif
