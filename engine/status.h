/*
 * status.h: the one error rule.
 *
 * What can fail returns a status that must be used, and says in a struct error what went wrong, in words for the user
 * (place and remedy). Whoever passes an error on may put its own place in front of it. A bug aborts (check.h); input
 * never does.
 */
#ifndef ENGINE_STATUS_H
#define ENGINE_STATUS_H

enum status {
    STATUS_OK = 0,
    STATUS_AGAIN,   /* not now: full, empty, or in progress; nothing is wrong and no text is set */
    STATUS_USAGE,   /* the user asked for something that cannot be: exit status 2 */
    STATUS_SYSTEM,  /* the system refused (a file, a socket, memory): exit status 1, unless found before the start */
    STATUS_INPUT,   /* bytes from outside are not what they should be */
    STATUS_CLOSED,  /* the other end is gone */
    STATUS_CORRUPT, /* what was kept is not what it was */
};

#define MUST_USE __attribute__((warn_unused_result))

enum { ERROR_TEXT_BYTES = 512 };

/* Owned by the caller, who starts it with {0}. */
struct error {
    char text[ERROR_TEXT_BYTES];
};

/* Sets the text: printf form, cut to fit. */
void error_set_text(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same and `status` as its value, so that a failing function can end with one line. A macro, so that a compiler or
 * an analyzer sees which status that is. */
#define error_set(error, value, ...) (error_set_text((error), __VA_ARGS__), (enum status)(value))

/* As error_set, with ": " and strerror(errno_value) behind it. */
enum status error_set_errno(struct error *error, int errno_value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts `format` and ": " in front of the text: the trail. */
void error_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
