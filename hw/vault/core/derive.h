/* HMAC-SHA-256 (RFC 2104) and HKDF-SHA-256 (RFC 5869). See derive.c. On a secret stack; no memory is taken. */
#ifndef FELDFON_VAULT_DERIVE_H
#define FELDFON_VAULT_DERIVE_H

#include "vault.h"

/* SHA-256 (FIPS 180-4). OpenSSL's own SHA256() takes memory, and where there is none the hash stays what it was. */
void sha256(vault_bytes bytes, uint8_t hash[VAULT_MAC_BYTES]);
void hmac(vault_bytes key, vault_bytes message, uint8_t mac[VAULT_MAC_BYTES]);
/* The key material is the parts, joined. length: 1..8160. */
void hkdf(const vault_bytes *parts, size_t count, vault_bytes salt, vault_bytes info, uint8_t *out, size_t length);

#endif
