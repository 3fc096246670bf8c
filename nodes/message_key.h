/*
 * message_key.h: which part of a message is its key, for workers whose replicas keep the messages of one key in order
 * (--order key).
 *
 * `symbol`: the symbol of a FIX message (tag 55), so a replica gets what a fixrouter would send it; `fix:TAG`: any tag
 * of it; `json:FIELD`: a field of a JSON object, by its name. Keys are told apart by the number that symbol_choice.h
 * makes of them; a message without the key has the empty one, as has one whose key is empty.
 *
 * Cost: a symbol some 20 to 40 ns; a tag one look at the whole message; a field what cJSON takes to parse it.
 */
#ifndef NODES_MESSAGE_KEY_H
#define NODES_MESSAGE_KEY_H

#include "engine/status.h"
#include "nodes/hash/symbol_choice.h"

enum message_key_kind { MESSAGE_KEY_SYMBOL, MESSAGE_KEY_FIX, MESSAGE_KEY_JSON };

struct message_key {
    enum message_key_kind kind;
    const char *name; /* of the tag or the field; stays */
    struct symbol_choices choices;
};

/* `text` as the user gave it to --order-key; it must stay. STATUS_USAGE: it is none of these. */
enum status message_key_open(struct message_key *key, const char *text, struct error *error) MUST_USE;

/* Which of `count` the message belongs to: the same for all messages with this key. */
size_t message_key_choose(struct message_key *key, const void *text, size_t length, size_t count);

#endif
