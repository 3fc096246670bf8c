/*
 * siphash.h: a hash with a key, for tables whose keys come from outside: who does not know the key cannot aim many of
 * them at one place. Pure.
 */
#ifndef NODES_HASH_SIPHASH_H
#define NODES_HASH_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/*
 * SipHash-1-3 (Jean-Philippe Aumasson and Daniel Bernstein, "SipHash: a fast short-input PRF", 2012, with the reduced
 * rounds that are usual for tables). Words are taken in the machine's byte order: the hash must not leave the process.
 */
uint64_t siphash(const uint64_t key[2], const void *data, size_t length);

#endif
