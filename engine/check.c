#include "engine/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *file, int line, const char *expression)
{
    fprintf(stderr, "millrace: %s:%d: this is a bug in millrace: CHECK(%s) does not hold\n", file, line, expression);
    abort();
}
