/*
 * guarantee.h: how often a message takes effect.
 */
#ifndef ENGINE_GUARANTEE_H
#define ENGINE_GUARANTEE_H

#include <stdbool.h>

enum guarantee {
    GUARANTEE_AT_MOST_ONCE,  /* what a crash catches under way is lost */
    GUARANTEE_AT_LEAST_ONCE, /* ... is done again */
    GUARANTEE_EXACTLY_ONCE,  /* ... is done again, and what it did before is not there */
};

/* What a queue's messages survive. */
enum durability {
    DURABILITY_MEMORY, /* nothing: they end with the process */
    DURABILITY_ASYNC,  /* the process's end; a power cut, save those of the last sync interval */
    DURABILITY_SYNC,   /* both: a PUT is acknowledged when it is on the disk */
};

/* How a node keeps the messages that rest in it. */
struct carriage {
    enum durability durability;
    bool spills; /* beyond its memory they go to the store: not for ever, but it needs one */
    bool drops;  /* the user lets it drop some of them: by age, or when it is full */
};

#endif
