/* The memory of all secrets. See arena.c. */
#ifndef FELDFON_VAULT_ARENA_H
#define FELDFON_VAULT_ARENA_H

#include "vault.h"

/* One stack of the arena; 0 bytes in a build that does not switch stacks. */
typedef struct arena_room {
  uint8_t *bottom;
  size_t bytes;
} arena_room;

enum { ARENA_STACKS = 4 };

/* Maps `bytes`: stacks of these sizes, the rest is heap; VAULT_NO_PROTECTION, VAULT_NO_MEMORY. */
vault_result arena_open(size_t bytes, vault_backend wanted, const size_t stack_bytes[ARENA_STACKS],
                        arena_room stacks[ARENA_STACKS]);
vault_backend arena_backend(void);

/* Aligned to 16 bytes, not zeroed. NULL: no room, and this thread remembers it until arena_forget_refusal. */
void *arena_take(size_t bytes);
void *arena_resize(void *block, size_t bytes);
/* Zeroes and gives back; NULL is harmless; a damaged or strange block ends the process. */
void arena_give(void *block);
/*
 * While it is 1, this thread's blocks of 1 MiB and more get a mapping of their own: locked if the limit allows, never
 * dumped, not there after a fork, zeroed before it goes. For the work area of Argon2id.
 */
void arena_allow_long(int allowed);
int arena_has_refused(void);
void arena_forget_refusal(void);

void arena_measure(size_t *bytes, size_t *used, size_t *peak);
/* Where it begins and how long it is, guards apart: for tests. */
arena_room arena_whole(void);

#ifdef VAULT_TESTING
/* So many blocks are still given, then none; below 0: as many as there are. */
void arena_refuse_after(long takes);
#endif

/* 0xFF, 0, random, 0 (seed 003: SecureVault.wipe); for memory one pass would do. */
void wipe_bytes(void *at, size_t bytes);

/* In the child of a fork the arena is gone; set there, and then every call is refused. */
int arena_is_lost(void);

#endif
