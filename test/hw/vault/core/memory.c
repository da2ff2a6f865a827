/* Memory refused at every single place where something asks for it: an answer each time, and nothing kept. */
#include "arena.h"

#include "check.h"

static uint8_t spki[VAULT_SPKI_BYTES], wrapped[VAULT_WRAP_BYTES], signature[VAULT_SIGNATURE_BYTES];
static uint8_t kem_key[VAULT_ENCAPSULATION_KEY_BYTES], ciphertext[VAULT_CIPHERTEXT_BYTES];
static uint8_t public_key[VAULT_ENCAPSULATION_KEY_BYTES], sealed[64];
static vault_handle pair, wrap, material;

/* Each begins and ends with the same slots, whatever happens between. */
static vault_result born_and_wiped(void) {
  vault_handle a, b;
  vault_result result = vault_new_secret(&a, &b);
  (void)vault_wipe(a);
  (void)vault_wipe(b);
  return result;
}

static vault_result sealed_and_wiped(void) {
  vault_handle slot;
  vault_result result = vault_derive(VAULT_STREAM_SEAL, 44, &material, 1, NOTHING, NOTHING, &slot);
  if (result == VAULT_OK) result = vault_seal(slot, 0, NOTHING, bytes_of("text"), sealed);
  (void)vault_wipe(slot);
  return result;
}

static vault_result spoken(void) {
  vault_handle slot;
  vault_result result = vault_derive(VAULT_PACKET_SEAL, 44, &material, 1, NOTHING, NOTHING, &slot);
  if (result == VAULT_OK) result = vault_srtp_sender(slot, &(vault_media_profile){.ssrc = 1});
  for (int packets = 0; result == VAULT_OK && packets < 3001; packets++) {
    result = vault_srtp_seal(slot, bytes_of("."), 0, sealed);
  }
  (void)vault_wipe(slot);
  return result;
}

static vault_result agreed(void) {
  vault_handle own, secret = 0;
  vault_result result = vault_make_ephemeral(VAULT_X25519, &own, public_key);
  if (result == VAULT_OK) result = vault_agree(own, (vault_bytes){public_key, VAULT_X25519_BYTES}, &secret);
  (void)vault_wipe(secret);
  return result;
}

static vault_result encapsulated(void) {
  vault_handle secret;
  vault_result result = vault_encapsulate((vault_bytes){kem_key, sizeof kem_key}, ciphertext, &secret);
  (void)vault_wipe(secret);
  return result;
}

static vault_result decapsulated(void) {
  vault_handle own, secret = 0;
  vault_result result = vault_make_ephemeral(VAULT_ML_KEM_768, &own, public_key);
  if (result == VAULT_OK) result = vault_decapsulate(own, (vault_bytes){ciphertext, sizeof ciphertext}, &secret);
  (void)vault_wipe(secret);
  return result;
}

static vault_result wrapped_for(void) {
  return vault_wrap((vault_bytes){spki, sizeof spki}, bytes_of("label"), wrap, wrapped);
}

/* A good signature: with no memory it is neither good nor bad. */
static vault_result verified(void) {
  int holds;
  vault_bytes key = {spki, sizeof spki}, shown = {signature, sizeof signature};
  vault_result result = vault_verify(key, bytes_of("text"), shown, &holds);
  CHECK(holds == (result == VAULT_OK));
  return result;
}

static vault_result unwrapped(void) {
  vault_handle secret;
  vault_result result = vault_unwrap(pair, bytes_of("label"), (vault_bytes){wrapped, sizeof wrapped}, &secret);
  (void)vault_wipe(secret);
  return result;
}

static vault_result signed_by(void) {
  return vault_sign(pair, bytes_of("text"), signature);
}

static vault_result loaded(void) {
  vault_handle other;
  uint8_t other_spki[VAULT_SPKI_BYTES];
  vault_result result = vault_load_key_pair(key_files[1], &other, other_spki);
  (void)vault_wipe(other);
  return result;
}

static void refuse_each(vault_result (*attempt)(void), int attempts_most) {
  GOOD(attempt());
  GOOD(attempt());
  size_t before = arena_used();
  int refused = 0;
  for (; refused < attempts_most; refused++) {
    arena_refuse_after(refused);
    vault_result result = attempt();
    arena_refuse_after(-1);
    if (result == VAULT_OK) break;
    IS(result, VAULT_NO_MEMORY);
    CHECK(arena_used() <= before + 8192); /* OpenSSL may keep what it made once */
  }
  GOOD(attempt());
  printf("       (%d places)\n", refused);
}

static void prepare(void) {
  open_vault(0);
  vault_handle unused, own;
  pair = load_pair(0, spki);
  GOOD(vault_new_secret(&wrap, &material));
  GOOD(vault_make_ephemeral(VAULT_ML_KEM_768, &own, kem_key));
  GOOD(vault_wrap((vault_bytes){spki, sizeof spki}, bytes_of("label"), wrap, wrapped));
  GOOD(vault_encapsulate((vault_bytes){kem_key, sizeof kem_key}, ciphertext, &unused));
}

static void short_operations(void) {
  prepare();
  refuse_each(born_and_wiped, 1000);
  refuse_each(sealed_and_wiped, 1000);
  refuse_each(spoken, 60);
}

static void agreements(void) {
  prepare();
  refuse_each(agreed, 1000);
  refuse_each(encapsulated, 1000);
  refuse_each(decapsulated, 1000);
}

static void public_rsa(void) {
  prepare();
  refuse_each(wrapped_for, 1000);
  GOOD(vault_sign(pair, bytes_of("text"), signature));
  refuse_each(verified, 1000);
}

static void private_rsa(void) {
  prepare();
  refuse_each(unwrapped, 1000);
  refuse_each(signed_by, 1000);
}

/* OpenSSL's SHA256() asks for memory, and what it does not get leaves the hash as it was. */
static void hashes_take_none(void) {
  prepare();
  static const uint8_t long_key[131];
  uint8_t expected[VAULT_MAC_BYTES], mac[VAULT_MAC_BYTES];
  vault_handle key = known_slot(VAULT_MAC, (vault_bytes){long_key, sizeof long_key});
  GOOD(vault_mac(key, bytes_of("text"), expected));
  arena_refuse_after(0);
  vault_result result = vault_mac(key, bytes_of("text"), mac);
  arena_refuse_after(-1);
  GOOD(result);
  CHECK(memcmp(mac, expected, sizeof mac) == 0);
}

static void key_files_read(void) {
  prepare();
  refuse_each(loaded, 20000);
}

const test memory_tests[] = {
    {"memory refused while sealing, deriving, speaking", short_operations},
    {"memory refused while agreeing", agreements},
    {"memory refused while wrapping", public_rsa},
    {"memory refused while unwrapping and signing", private_rsa},
    {"memory refused while a long key is hashed", hashes_take_none},
    {"memory refused while a key file is read", key_files_read},
    {0},
};
