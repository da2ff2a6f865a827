/* AES-256-GCM for everything in the vault that seals. See seal.c. Under the vault's lock, on a secret stack. */
#ifndef FELDFON_VAULT_SEAL_H
#define FELDFON_VAULT_SEAL_H

#include "vault.h"

enum { GCM_KEY_BYTES = 32, GCM_NONCE_BYTES = 12 };

vault_result seal_open_ciphers(size_t arena_bytes);
/* A name for key bytes, never given twice; kept ciphers go by it. */
uint64_t seal_next_key(void);
/* Frees the cipher that is kept for these bytes, if one is. */
void seal_forget(uint64_t key);

/* out: clear.length + 16 */
vault_result gcm_seal(uint64_t key, const uint8_t bytes[GCM_KEY_BYTES], const uint8_t nonce[GCM_NONCE_BYTES],
                      vault_bytes aad, vault_bytes clear, uint8_t *out);
/* out: sealed.length - 16, zeroed when the tag does not fit; VAULT_FORGED */
vault_result gcm_open(uint64_t key, const uint8_t bytes[GCM_KEY_BYTES], const uint8_t nonce[GCM_NONCE_BYTES],
                      vault_bytes aad, vault_bytes sealed, uint8_t *out);

/* What a failure of OpenSSL means: VAULT_NO_MEMORY when the arena has refused it a block, else `otherwise`. */
vault_result failed(vault_result otherwise);

#endif
