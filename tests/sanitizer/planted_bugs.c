/*
 * planted_bugs.c: makes the mistake that it is told to, so that a test can see that the sanitizers are on.
 *
 * The numbers come from the command line, or the compiler would find the mistakes before the sanitizers do.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int overflow_heap(int count)
{
    char *bytes = calloc(8, 1);
    if (bytes == NULL)
        return 1;
    memset(bytes, 1, (size_t)count);
    printf("wrote %d bytes of 8 at %p\n", count, (void *)bytes);
    free(bytes);
    return 0;
}

static int overflow_int(int addend)
{
    printf("sum %d\n", INT_MAX - 1 + addend);
    return 0;
}

static int leak(int size)
{
    char *bytes = calloc((size_t)size, 1);
    if (bytes == NULL)
        return 1;
    printf("leaks %d bytes at %p\n", size, (void *)bytes);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        int number = (int)strtol(argv[2], NULL, 10);
        if (strcmp(argv[1], "heap") == 0)
            return overflow_heap(number);
        if (strcmp(argv[1], "int") == 0)
            return overflow_int(number);
        if (strcmp(argv[1], "leak") == 0)
            return leak(number);
    }
    fprintf(stderr, "usage: planted_bugs heap|int|leak NUMBER\n");
    return 2;
}
