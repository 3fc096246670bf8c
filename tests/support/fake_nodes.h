/*
 * fake_nodes.h: node types for tests of the engine, as small as nodes can be, and their catalog.
 *
 *   source  emits --count messages, the decimal numbers from 0 on, to its output
 *   store   listens for PUT and GET; hands on to the first of its outputs that has room; without outputs it keeps
 *   work    takes from its inputs, emits to its output
 *   drain   listens for bare messages; takes them
 *   file    a source that requires --path
 *   metrics the reporter
 *
 * All of them count, and note whether the numbers they saw rose by one each time.
 */
#ifndef TESTS_SUPPORT_FAKE_NODES_H
#define TESTS_SUPPORT_FAKE_NODES_H

#include "engine/node.h"

struct fake_config {
    struct address_list address;
    struct address_list input_address;
    struct address_list output_address;
    struct text_list path;
    uint64_t count;
    uint64_t replicas;
    uint64_t limit_bytes;
    int64_t delay_ns;
    unsigned output_type;
    const char *label;
    bool refuse;    /* its check says no */
    bool fail_open; /* its open does */
    bool durable;   /* it lives on the durable thread, and appends what it takes to the stored queue of its name */
    bool stay;      /* it does not end before it is abandoned */
};

struct fake_state {
    uint64_t step_count;
    uint64_t emitted_count;
    uint64_t taken_count;
    bool out_of_order;
    char last_text[32];
    uint32_t stored_queue;  /* 0: none */
    uint64_t next_sequence; /* of it */
    void *opened;           /* memory that close frees */
};

extern const struct catalog fake_catalog;

/* How many nodes are open now: opened less closed, in the whole program. */
size_t fake_nodes_open_count(void);

#endif
