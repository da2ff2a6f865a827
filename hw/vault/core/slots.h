/* What the vault keeps, by handle. See slots.c. All calls under the vault's lock, on a secret stack. */
#ifndef FELDFON_VAULT_SLOTS_H
#define FELDFON_VAULT_SLOTS_H

#include <openssl/evp.h>

#include "arena.h"

typedef enum slot_kind { KIND_SECRET = 1, KIND_KEY_PAIR, KIND_EPHEMERAL } slot_kind;

/* Lies in the arena. */
struct secret {
  uint64_t key; /* names the bytes to the ciphers that are kept (seal.c); another after each change */
  uint32_t length;
  uint8_t bytes[];
};

struct media; /* srtp.c */

struct slot {
  uint32_t generation;
  uint32_t next_free;
  uint8_t kind;
  uint8_t is_live;
  uint8_t use;       /* of a secret: vault_use; of an ephemeral: vault_algorithm */
  uint64_t counter;  /* the lowest that may still come */
  struct secret *secret;
  EVP_PKEY *pkey;
  struct media *media;
};

vault_result slots_open(uint32_t slots_max);
/* VAULT_NO_SUCH_SLOT, VAULT_EMPTY_SLOT */
vault_result slots_find(vault_handle handle, slot_kind kind, struct slot **found);
/* A secret of one of these uses (0: no second one) that voice has not taken over; VAULT_WRONG_USE. */
vault_result slots_find_secret(vault_handle handle, vault_use use, vault_use or_use, struct slot **found);
/* VAULT_FULL unless as many more have room. */
vault_result slots_room(slot_kind kind, uint32_t more);

/* These take over what they are given, also when they fail. */
vault_result slots_put_secret(vault_use use, struct secret *content, vault_handle *handle);
vault_result slots_put_pkey(slot_kind kind, uint8_t use, EVP_PKEY *pkey, vault_handle *handle);

vault_result slots_wipe(vault_handle handle);
void slots_drop(struct slot *slot);
void slots_wipe_all(void);
/* Counts slots_wipe_all: what was begun before brings nothing back to life after. */
uint64_t slots_wipes(void);
void slots_count(uint32_t *in_use, uint32_t *max, uint32_t *key_pairs);

/* Uninitialized bytes; NULL: no room. */
struct secret *secret_new(size_t length);
void secret_free(struct secret *secret);
/* After the bytes have changed. */
void secret_changed(struct secret *secret);

#endif
