/* What only a test may do: bring known secrets and look at what is kept. Built with -DVAULT_TESTING, never shipped. */
#ifndef FELDFON_VAULT_TESTING_H
#define FELDFON_VAULT_TESTING_H

#include "vault.h"

vault_result vault_testing_import(vault_use use, vault_bytes secret, vault_handle *slot);
/* secret: room for *length bytes; *length becomes what the slot has. */
vault_result vault_testing_reveal(vault_handle slot, uint8_t *secret, size_t *length);
/* X25519: 32 bytes; ML-KEM-768: seed d | z, 64 bytes (FIPS 203 7.1). public_key as of vault_make_ephemeral. */
vault_result vault_testing_import_ephemeral(vault_algorithm algorithm, vault_bytes secret, vault_handle *ephemeral,
                                            uint8_t *public_key);
/* PKCS#8 in DER. */
vault_result vault_testing_import_key_pair(vault_bytes pkcs8, vault_handle *pair, uint8_t spki[VAULT_SPKI_BYTES]);
/* OAEP without the prefix: published vectors have none. The clear text becomes a slot of VAULT_MAC. */
vault_result vault_testing_open_oaep(vault_handle pair, vault_bytes label, vault_bytes wrapped, vault_handle *slot);
/* Index of the first packet of senders and receivers made from now on; their slot holds that epoch's master. */
void vault_testing_media_start(uint64_t index);
/*
 * From now on every secret is written to this pipe when it is born: length (2 bytes, little-endian) | bytes, straight
 * from the arena, so that the process itself holds no copy. Ephemerals too: X25519's private key, ML-KEM's d | z.
 */
void vault_testing_tell_births(int pipe);

#endif
