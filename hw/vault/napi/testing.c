/* What only a test may do (core/vault_testing.h). This file is part of vault-testing.node and of nothing else. */
#include "../core/vault_testing.h"

#include <string.h>

#include "skin.h"

/* (use, secret) => slot */
static napi_value import(napi_env env, napi_callback_info info) {
  skin_call c;
  uint64_t use = 0;
  vault_bytes secret;
  vault_handle handle = 0;
  if (!call_begin(env, info, 2, &c) || !take_whole(&c, 0, VAULT_WRAP, VAULT_WRONG_USE, &use) ||
      !take_bytes(&c, 1, &secret) || !room_for(&c, 1)) {
    return NULL;
  }
  vault_result result = use == 0 ? VAULT_WRONG_USE : vault_testing_import((vault_use)use, secret, &handle);
  return slot_born(&c, result, handle, (vault_use)use);
}

/* (slot) => what it holds now */
static napi_value reveal(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *slot;
  uint8_t secret[VAULT_DERIVE_BYTES_MAX];
  size_t length = sizeof secret;
  napi_value copy = NULL;
  if (!call_begin(env, info, 1, &c) || !take_record(&c, 0, &slot)) return NULL;
  vault_result result = vault_testing_reveal(slot->box.handle, secret, &length);
  if (result != VAULT_OK) return refuse(&c, result);
  napi_create_buffer_copy(env, length, secret, NULL, &copy);
  return copy;
}

/* (algorithm, private bytes) => ephemeral */
static napi_value import_ephemeral(napi_env env, napi_callback_info info) {
  skin_call c;
  uint64_t algorithm = 0;
  vault_bytes secret;
  uint8_t *public_key;
  vault_handle handle = 0;
  if (!call_begin(env, info, 2, &c) || !take_whole(&c, 0, VAULT_ML_KEM_768, VAULT_WRONG_USE, &algorithm) ||
      !take_bytes(&c, 1, &secret) || !room_for(&c, 1)) {
    return NULL;
  }
  size_t length = algorithm == VAULT_X25519 ? VAULT_X25519_BYTES : VAULT_ENCAPSULATION_KEY_BYTES;
  napi_value buffer = new_buffer(env, length, &public_key);
  if (buffer == NULL) return NULL;
  vault_result result = vault_testing_import_ephemeral((vault_algorithm)algorithm, secret, &handle, public_key);
  return result == VAULT_OK ? made(&c, ephemeral_make(c.realm, handle, (vault_algorithm)algorithm, buffer))
                            : refuse(&c, result);
}

/* (PKCS#8 in DER) => key pair */
static napi_value import_key_pair(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_bytes pkcs8;
  vault_handle handle = 0;
  uint8_t spki[VAULT_SPKI_BYTES];
  if (!call_begin(env, info, 1, &c) || !take_bytes(&c, 0, &pkcs8)) return NULL;
  vault_result result = vault_testing_import_key_pair(pkcs8, &handle, spki);
  return result == VAULT_OK ? made(&c, key_pair_make(c.realm, handle, spki)) : refuse(&c, result);
}

/* (pair, label, wrapped) => slot */
static napi_value open_oaep(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *pair;
  vault_bytes label, wrapped;
  vault_handle handle = 0;
  if (!call_begin(env, info, 3, &c) || !take_record(&c, 0, &pair) || !take_bytes(&c, 1, &label) ||
      !take_bytes(&c, 2, &wrapped) || !room_for(&c, 1)) {
    return NULL;
  }
  vault_result result = vault_testing_open_oaep(pair->box.handle, label, wrapped, &handle);
  return slot_born(&c, result, handle, VAULT_MAC);
}

/* (index): senders and receivers made from now on begin there */
static napi_value media_starts_at(napi_env env, napi_callback_info info) {
  skin_call c;
  double index = 0;
  if (call_begin(env, info, 1, &c) && take_number(&c, 0, &index)) vault_testing_media_start((uint64_t)index);
  return NULL;
}

/* (file descriptor of a pipe): every secret goes there when it is born */
static napi_value tell_births(napi_env env, napi_callback_info info) {
  skin_call c;
  uint32_t pipe = 0;
  if (call_begin(env, info, 1, &c) && take_uint32(&c, 0, &pipe)) vault_testing_tell_births((int)pipe);
  return NULL;
}

const skin_function testing_functions[] = {
    {"import", import},
    {"reveal", reveal},
    {"importEphemeral", import_ephemeral},
    {"importKeyPair", import_key_pair},
    {"openOaep", open_oaep},
    {"mediaStartsAt", media_starts_at},
    {"tellBirths", tell_births},
    {NULL, NULL},
};
