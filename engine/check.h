/*
 * check.h: assertions that stay on in release builds.
 *
 * CHECK states what must hold if our own code is right. Input never reaches a CHECK: what comes from outside is
 * answered with a status. A failed CHECK says where and aborts.
 */
#ifndef ENGINE_CHECK_H
#define ENGINE_CHECK_H

_Noreturn void check_failed(const char *file, int line, const char *expression);

#define CHECK(expression)                                                                                              \
    do {                                                                                                               \
        if (__builtin_expect(!(expression), 0))                                                                        \
            check_failed(__FILE__, __LINE__, #expression);                                                             \
    } while (0)

/* Objects carry a magic as their first member; a wrong or stale pointer is caught at the door. */
#define CHECK_MAGIC(object, expected) CHECK((object) != NULL && (object)->magic == (expected))

#endif
