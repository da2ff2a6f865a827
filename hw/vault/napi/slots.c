/* Everything short that works on slots: born, derived, sealed with, compared, wiped. Synchronous. */
#include "skin.h"

static const double COUNTER_MAX = 9007199254740991; /* Number.MAX_SAFE_INTEGER */

static napi_value wipe(napi_env env, napi_callback_info info) {
  skin_call c;
  napi_value known = NULL;
  if (!call_begin(env, info, 1, &c)) return NULL;
  vault_record *record = record_of(c.realm, c.arguments[0]);
  if (record != NULL) record_wipe(record);
  napi_get_boolean(env, record != NULL, &known);
  return known;
}

static napi_value wipe_all(napi_env env, napi_callback_info info) {
  skin_call c;
  if (call_begin(env, info, 0, &c)) realm_wipe(c.realm);
  return NULL;
}

/* ---- secrets for the owner of a public key ---- */

/* Both or none: a failure between them wipes the first by way of its record. */
static napi_value new_secret(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_handle wrap_handle = 0, derive_handle = 0;
  if (!call_begin(env, info, 0, &c) || !room_for(&c, 2)) return NULL;
  vault_result result = vault_new_secret(&wrap_handle, &derive_handle);
  if (result != VAULT_OK) return refuse(&c, result);
  const napi_property_descriptor both[] = {
      {.utf8name = "wrap", .value = slot_make(c.realm, wrap_handle, VAULT_WRAP), .attributes = napi_default_jsproperty},
      {.utf8name = "derive", .value = slot_make(c.realm, derive_handle, VAULT_DERIVE), .attributes = napi_default_jsproperty},
  };
  return made(&c, object_of(env, both, 2));
}

/* (spki, label, secret, wrapped) */
static napi_value wrap(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_bytes spki, label;
  vault_record *secret;
  uint8_t *wrapped;
  if (!call_begin(env, info, 4, &c) || !take_record(&c, 2, &secret) || !take_bytes(&c, 0, &spki) ||
      !take_bytes(&c, 1, &label) || !take_output(&c, 3, VAULT_WRAP_BYTES, &wrapped)) {
    return NULL;
  }
  return done(&c, vault_wrap(spki, label, secret->box.handle, wrapped));
}

/* (spki, message, signature) => whether it holds */
static napi_value verifies(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_bytes spki, message, signature;
  napi_value truth = NULL;
  int holds = 0;
  if (!call_begin(env, info, 3, &c) || !take_bytes(&c, 0, &spki) || !take_bytes(&c, 1, &message) ||
      !take_bytes(&c, 2, &signature)) {
    return NULL;
  }
  vault_result result = vault_verify(spki, message, signature, &holds);
  if (result != VAULT_OK) return refuse(&c, result);
  napi_get_boolean(env, holds != 0, &truth);
  return truth;
}

/* ---- key agreement ---- */

/* (algorithm) => ephemeral */
static napi_value make_ephemeral(napi_env env, napi_callback_info info) {
  skin_call c;
  uint64_t algorithm = 0;
  uint8_t *public_key;
  vault_handle handle = 0;
  if (!call_begin(env, info, 1, &c) || !take_whole(&c, 0, VAULT_ML_KEM_768, VAULT_WRONG_USE, &algorithm) ||
      !room_for(&c, 1)) {
    return NULL;
  }
  size_t length = algorithm == VAULT_X25519 ? VAULT_X25519_BYTES : VAULT_ENCAPSULATION_KEY_BYTES;
  napi_value buffer = new_buffer(env, length, &public_key);
  if (buffer == NULL) return refuse(&c, VAULT_NO_MEMORY);
  vault_result result =
      algorithm == 0 ? VAULT_WRONG_USE : vault_make_ephemeral((vault_algorithm)algorithm, &handle, public_key);
  return result == VAULT_OK ? made(&c, ephemeral_make(c.realm, handle, (vault_algorithm)algorithm, buffer))
                            : refuse(&c, result);
}

typedef vault_result (*ephemeral_use)(vault_handle ephemeral, vault_bytes peer, vault_handle *secret);

/* (ephemeral, what the peer sent) => secret; the ephemeral is used up unless it was the wrong one. */
static napi_value use_up(napi_env env, napi_callback_info info, ephemeral_use use) {
  skin_call c;
  vault_record *ephemeral;
  vault_bytes peer;
  vault_handle handle = 0;
  if (!call_begin(env, info, 2, &c) || !take_record(&c, 0, &ephemeral) || !take_bytes(&c, 1, &peer)) return NULL;
  vault_result result = use(ephemeral->box.handle, peer, &handle);
  if (result != VAULT_WRONG_USE) record_wipe(ephemeral);
  return slot_born(&c, result, handle, VAULT_DERIVE);
}

static napi_value agree(napi_env env, napi_callback_info info) { return use_up(env, info, vault_agree); }

static napi_value decapsulate(napi_env env, napi_callback_info info) { return use_up(env, info, vault_decapsulate); }

/* (encapsulation key, ciphertext) => secret */
static napi_value encapsulate(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_bytes key;
  uint8_t *ciphertext;
  vault_handle handle = 0;
  if (!call_begin(env, info, 2, &c) || !take_bytes(&c, 0, &key) ||
      !take_output(&c, 1, VAULT_CIPHERTEXT_BYTES, &ciphertext) || !room_for(&c, 1)) {
    return NULL;
  }
  vault_result result = vault_encapsulate(key, ciphertext, &handle);
  return slot_born(&c, result, handle, VAULT_DERIVE);
}

/* ---- slot to slot ---- */

/* (use, length, salt, info, ...key material) => slot */
static napi_value derive(napi_env env, napi_callback_info info) {
  enum { MATERIAL_AT = 4 };
  skin_call c;
  uint64_t use = 0, length = 0;
  vault_bytes salt, context;
  vault_handle material[ARGUMENTS_MAX];
  vault_handle handle = 0;
  if (!call_begin_wide(env, info, MATERIAL_AT, ARGUMENTS_MAX, &c) || !take_whole(&c, 0, VAULT_WRAP, VAULT_WRONG_USE, &use) ||
      !take_whole(&c, 1, VAULT_DERIVE_BYTES_MAX, VAULT_WRONG_LENGTH, &length)) {
    return NULL;
  }
  for (size_t at = MATERIAL_AT; at < c.count; at++) {
    vault_record *slot;
    if (!take_record(&c, at, &slot)) return NULL;
    material[at - MATERIAL_AT] = slot->box.handle;
  }
  if (!take_bytes(&c, 2, &salt) || !take_bytes(&c, 3, &context) || !room_for(&c, 1)) return NULL;
  vault_result result = use == 0 ? VAULT_WRONG_USE
                                 : vault_derive((vault_use)use, (size_t)length, material, c.count - MATERIAL_AT, salt,
                                                context, &handle);
  return slot_born(&c, result, handle, (vault_use)use);
}

/* (slot, salt, info) */
static napi_value rekey(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *slot;
  vault_bytes salt, context;
  if (!call_begin(env, info, 3, &c) || !take_record(&c, 0, &slot) || !take_bytes(&c, 1, &salt) ||
      !take_bytes(&c, 2, &context)) {
    return NULL;
  }
  return done(&c, vault_rekey(slot->box.handle, salt, context));
}

/* ---- sealing ---- */

/* (slot, counter, aad, place) */
static bool take_frame(napi_env env, napi_callback_info info, skin_call *c, vault_record **slot, uint64_t *counter,
                       vault_bytes *aad, vault_bytes *place) {
  return call_begin(env, info, 4, c) && take_record(c, 0, slot) && take_whole(c, 1, COUNTER_MAX, VAULT_COUNTER, counter) &&
         take_bytes(c, 2, aad) && take_bytes(c, 3, place);
}

/* (slot, counter, aad, clear, sealed) */
static napi_value seal(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *slot;
  uint64_t counter;
  vault_bytes aad, clear;
  uint8_t *sealed;
  if (!call_begin(env, info, 5, &c) || !take_record(&c, 0, &slot) ||
      !take_whole(&c, 1, COUNTER_MAX, VAULT_COUNTER, &counter) || !take_bytes(&c, 2, &aad) ||
      !take_bytes(&c, 3, &clear) || !take_output(&c, 4, clear.length + VAULT_TAG_BYTES, &sealed)) {
    return NULL;
  }
  return done(&c, vault_seal(slot->box.handle, counter, aad, clear, sealed));
}

/* (slot, counter, aad, sealed, clear) */
static napi_value open_sealed(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *slot;
  uint64_t counter;
  vault_bytes aad, sealed;
  uint8_t *clear;
  if (!call_begin(env, info, 5, &c) || !take_record(&c, 0, &slot) ||
      !take_whole(&c, 1, COUNTER_MAX, VAULT_COUNTER, &counter) || !take_bytes(&c, 2, &aad) ||
      !take_bytes(&c, 3, &sealed)) {
    return NULL;
  }
  size_t length = sealed.length < VAULT_TAG_BYTES ? 0 : sealed.length - VAULT_TAG_BYTES;
  if (!take_output(&c, 4, length, &clear)) return NULL;
  return done(&c, vault_open_sealed(slot->box.handle, counter, aad, sealed, clear));
}

/* (slot, counter, aad, clear | room for the tag) */
static napi_value seal_in_place(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *slot;
  uint64_t counter;
  vault_bytes aad, place;
  if (!take_frame(env, info, &c, &slot, &counter, &aad, &place)) return NULL;
  if (place.length < VAULT_TAG_BYTES) return refuse(&c, VAULT_WRONG_LENGTH);
  vault_bytes clear = {place.at, place.length - VAULT_TAG_BYTES};
  return done(&c, vault_seal(slot->box.handle, counter, aad, clear, (uint8_t *)place.at));
}

/* (slot, counter, aad, ciphertext | tag) */
static napi_value open_in_place(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *slot;
  uint64_t counter;
  vault_bytes aad, place;
  if (!take_frame(env, info, &c, &slot, &counter, &aad, &place)) return NULL;
  return done(&c, vault_open_sealed(slot->box.handle, counter, aad, place, (uint8_t *)place.at));
}

/* ---- message authentication ---- */

/* (slot, message, mac) */
static napi_value mac(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *slot;
  vault_bytes message;
  uint8_t *tag;
  if (!call_begin(env, info, 3, &c) || !take_record(&c, 0, &slot) || !take_bytes(&c, 1, &message) ||
      !take_output(&c, 2, VAULT_MAC_BYTES, &tag)) {
    return NULL;
  }
  return done(&c, vault_mac(slot->box.handle, message, tag));
}

/* (slot, message, tag) => boolean; a tag of another length fits nothing. */
static napi_value mac_matches(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *slot;
  vault_bytes message, tag;
  int holds = 0;
  napi_value answer = NULL;
  if (!call_begin(env, info, 3, &c) || !take_record(&c, 0, &slot) || !take_bytes(&c, 1, &message) ||
      !take_bytes(&c, 2, &tag)) {
    return NULL;
  }
  vault_result result = vault_mac_matches(slot->box.handle, message, tag, &holds);
  if (result != VAULT_OK && result != VAULT_WRONG_LENGTH) return refuse(&c, result);
  napi_get_boolean(env, result == VAULT_OK && holds == 1, &answer);
  return answer;
}

/* ---- the PIN ---- */

/* () => pin: empty, and no slot that counts */
static napi_value new_pin(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_handle handle = 0;
  if (!call_begin(env, info, 0, &c)) return NULL;
  vault_result result = vault_new_pin(&handle);
  return result == VAULT_OK ? made(&c, record_make(c.realm, handle, false, NULL, 0)) : refuse(&c, result);
}

static napi_value count_or_refusal(skin_call *call, vault_result result, uint32_t count) {
  napi_value value = NULL;
  if (result != VAULT_OK) return refuse(call, result);
  napi_create_uint32(call->env, count, &value);
  return value;
}

/* (pin, digit) => digits typed */
static napi_value pin_push(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *pin;
  uint64_t digit = 0;
  uint32_t count = 0;
  if (!call_begin(env, info, 2, &c) || !take_record(&c, 0, &pin) || !take_whole(&c, 1, 9, VAULT_BAD_DIGIT, &digit)) {
    return NULL;
  }
  vault_result result = vault_pin_push(pin->box.handle, (uint32_t)digit, &count);
  return count_or_refusal(&c, result, count);
}

static napi_value pin_count(napi_env env, napi_callback_info info, vault_result (*run)(vault_handle, uint32_t *)) {
  skin_call c;
  vault_record *pin;
  uint32_t count = 0;
  if (!call_begin(env, info, 1, &c) || !take_record(&c, 0, &pin)) return NULL;
  vault_result result = run(pin->box.handle, &count);
  return count_or_refusal(&c, result, count);
}

/* (pin) => digits left */
static napi_value pin_pop(napi_env env, napi_callback_info info) { return pin_count(env, info, vault_pin_pop); }

/* (pin) => digits typed */
static napi_value pin_digits(napi_env env, napi_callback_info info) { return pin_count(env, info, vault_pin_digits); }

/* (pin) */
static napi_value pin_keep(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *pin;
  return call_begin(env, info, 1, &c) && take_record(&c, 0, &pin) ? done(&c, vault_pin_keep(pin->box.handle)) : NULL;
}

/* (pin) => boolean */
static napi_value pin_matches_kept(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *pin;
  int matches = 0;
  napi_value answer = NULL;
  if (!call_begin(env, info, 1, &c) || !take_record(&c, 0, &pin)) return NULL;
  vault_result result = vault_pin_matches_kept(pin->box.handle, &matches);
  if (result != VAULT_OK) return refuse(&c, result);
  napi_get_boolean(env, matches == 1, &answer);
  return answer;
}

const skin_function slot_functions[] = {
    {"wipe", wipe},
    {"wipeAll", wipe_all},
    {"newSecret", new_secret},
    {"newPin", new_pin},
    {"pinPush", pin_push},
    {"pinPop", pin_pop},
    {"pinDigits", pin_digits},
    {"pinKeep", pin_keep},
    {"pinMatchesKept", pin_matches_kept},
    {"wrap", wrap},
    {"verifies", verifies},
    {"makeEphemeral", make_ephemeral},
    {"agree", agree},
    {"decapsulate", decapsulate},
    {"encapsulate", encapsulate},
    {"derive", derive},
    {"rekey", rekey},
    {"seal", seal},
    {"open", open_sealed},
    {"sealInPlace", seal_in_place},
    {"openInPlace", open_in_place},
    {"mac", mac},
    {"macMatches", mac_matches},
    {NULL, NULL},
};
