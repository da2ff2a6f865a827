/*
 * Each secret as it is born, also where a slot only gets other bytes, for the leak scan (vault_testing_tell_births).
 * The shipped build has nothing of it.
 */
#ifndef FELDFON_VAULT_BIRTHS_H
#define FELDFON_VAULT_BIRTHS_H

#include <openssl/evp.h>

#include "vault.h"

#ifdef VAULT_TESTING
void tell_birth(const uint8_t *secret, size_t length);
void tell_ephemeral(const EVP_PKEY *pkey);
#else
static inline void tell_birth(const uint8_t *secret, size_t length) {
  (void)secret, (void)length;
}
static inline void tell_ephemeral(const EVP_PKEY *pkey) {
  (void)pkey;
}
#endif

#endif
