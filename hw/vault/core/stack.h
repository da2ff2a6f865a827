/* Operations run on stacks that lie in the arena. See stack.c. */
#ifndef FELDFON_VAULT_STACK_H
#define FELDFON_VAULT_STACK_H

#include "arena.h"

typedef vault_result (*operation)(void *call);

/* How much stack an operation may want, before the arena is there. */
extern const size_t stack_bytes_wanted[ARENA_STACKS];

void stack_open(const arena_room stacks[ARENA_STACKS]);

/* Under the vault's lock, one at a time: small for what seals and derives, wide for agreements and public keys. */
vault_result run_small(operation run, void *call);
vault_result run_wide(operation run, void *call);
/* Without the vault's lock, two at a time, for private RSA; may call run_small and run_wide. */
vault_result run_long(operation run, void *call);

#if defined(VAULT_TESTING) && !defined(__SANITIZE_ADDRESS__)
/* The most bytes of each stack that were used while measuring. */
void stack_measure(int measure, size_t used[ARENA_STACKS]);
#endif

#endif
