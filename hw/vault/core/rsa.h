/* RSA-4096 with e = 65537. See rsa.c, public-key.c, key-file.c. On a secret stack. */
#ifndef FELDFON_VAULT_RSA_H
#define FELDFON_VAULT_RSA_H

#include <openssl/evp.h>

#include "vault.h"

enum { MODULUS_BYTES = 512, SECRET_PREFIX_BYTES = 12 };
extern const uint8_t SECRET_PREFIX[SECRET_PREFIX_BYTES];

/* The parameters of OAEP are the same on both sides. label must outlive the context's init. */
int oaep_begin(EVP_PKEY_CTX *context, vault_bytes label, int (*begin)(EVP_PKEY_CTX *, const OSSL_PARAM *));
/* 1 and *length, or 0 whatever the cause. */
int oaep_open(EVP_PKEY *pkey, vault_bytes label, vault_bytes wrapped, uint8_t clear[MODULUS_BYTES], size_t *length);

int pss_verifies(EVP_PKEY *pkey, vault_bytes message, const uint8_t signature[VAULT_SIGNATURE_BYTES]);

/* Canonical DER SubjectPublicKeyInfo; 0 for another key than RSA-4096 with e = 65537. */
int write_spki(const EVP_PKEY *pkey, uint8_t spki[VAULT_SPKI_BYTES]);
/* The modulus in it, NULL unless it is canonical. */
const uint8_t *modulus_of(vault_bytes spki);
vault_result public_keys_open(size_t arena_bytes);

/* Takes the key over, tries it and makes it a slot. In a long operation. */
vault_result put_key_pair(EVP_PKEY *pkey, uint64_t wipes, vault_handle *pair, uint8_t spki[VAULT_SPKI_BYTES]);
/* Whether there is room for one more, and how often the vault was wiped so far. */
vault_result begin_key_pair(uint64_t *wipes);
/* A reference of the caller's own, VAULT_EMPTY_SLOT and so on. */
vault_result borrow_key_pair(vault_handle pair, EVP_PKEY **pkey);

/* NULL for what is no private key in PKCS#8. */
EVP_PKEY *read_pkcs8(vault_bytes der);

#endif
