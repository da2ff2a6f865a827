/* From any thread, at any time; and what is wiped meanwhile is not given out. */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "check.h"

enum { SEALERS = 8, SEALS = 4000 };

static uint8_t spki[VAULT_SPKI_BYTES];
static vault_handle pair;
static atomic_int stop, signatures, seals_meanwhile, is_wiped, ended_on_the_way;

static void *seal_and_open(void *unused) {
  (void)unused;
  vault_handle material = fresh_slot(VAULT_DERIVE), sealing, opening;
  uint8_t sealed[176], out[160], clear[160];
  GOOD(vault_derive(VAULT_PACKET_SEAL, 44, &material, 1, NOTHING, NOTHING, &sealing));
  GOOD(vault_derive(VAULT_PACKET_OPEN, 44, &material, 1, NOTHING, NOTHING, &opening));
  for (uint64_t counter = 0; counter < SEALS; counter++) {
    memset(clear, (int)counter, sizeof clear);
    GOOD(vault_seal(sealing, counter, NOTHING, (vault_bytes){clear, sizeof clear}, sealed));
    GOOD(vault_open_sealed(opening, counter, NOTHING, (vault_bytes){sealed, sizeof sealed}, out));
    CHECK(memcmp(out, clear, sizeof clear) == 0);
    if (signatures > 0) seals_meanwhile++;
    if (counter % 500 == 0) {
      vault_handle own, secret;
      uint8_t public_key[VAULT_X25519_BYTES];
      GOOD(vault_make_ephemeral(VAULT_X25519, &own, public_key));
      GOOD(vault_agree(own, (vault_bytes){public_key, sizeof public_key}, &secret));
      GOOD(vault_wipe(secret));
    }
  }
  GOOD(vault_wipe(material));
  GOOD(vault_wipe(sealing));
  GOOD(vault_wipe(opening));
  return NULL;
}

static void *sign_on(void *unused) {
  (void)unused;
  uint8_t signature[VAULT_SIGNATURE_BYTES];
  while (!stop) {
    GOOD(vault_sign(pair, bytes_of("text"), signature));
    signatures++;
  }
  return NULL;
}

static void eight_seal_while_others_sign(void) {
  open_vault(0);
  pair = load_pair(0, spki);
  pthread_t sealers[SEALERS], signers[3]; /* one more than there are long stacks */
  for (int at = 0; at < 3; at++) CHECK(pthread_create(&signers[at], NULL, sign_on, NULL) == 0);
  while (signatures == 0) usleep(1000);
  for (int at = 0; at < SEALERS; at++) CHECK(pthread_create(&sealers[at], NULL, seal_and_open, NULL) == 0);
  for (int at = 0; at < SEALERS; at++) CHECK(pthread_join(sealers[at], NULL) == 0);
  stop = 1;
  for (int at = 0; at < 3; at++) CHECK(pthread_join(signers[at], NULL) == 0);
  CHECK(seals_meanwhile == SEALERS * SEALS);
  vault_status status;
  vault_get_status(&status);
  CHECK(status.slots_in_use == 0 && status.key_pairs == 1);
}

static void *sign_until_wiped(void *result) {
  uint8_t signature[VAULT_SIGNATURE_BYTES] = {0}, before[VAULT_SIGNATURE_BYTES];
  vault_result came;
  int was_wiped;
  do {
    memcpy(before, signature, sizeof before);
    was_wiped = is_wiped;
    came = vault_sign(pair, bytes_of("text"), signature);
    signatures++;
  } while (came == VAULT_OK);
  CHECK(memcmp(before, signature, sizeof before) == 0); /* what was under way is not given out */
  if (!was_wiped) ended_on_the_way++;
  *(vault_result *)result = came;
  return NULL;
}

static void a_wiped_pair_gives_nothing_out(void) {
  open_vault(0);
  for (int round = 0; round < 10; round++) {
    pair = load_pair(0, spki);
    vault_result results[2];
    pthread_t signers[2];
    signatures = is_wiped = 0;
    for (int at = 0; at < 2; at++) CHECK(pthread_create(&signers[at], NULL, sign_until_wiped, &results[at]) == 0);
    while (signatures < 4) usleep(300);
    if (round % 2) vault_wipe_all();
    else GOOD(vault_wipe(pair));
    is_wiped = 1;
    for (int at = 0; at < 2; at++) {
      CHECK(pthread_join(signers[at], NULL) == 0);
      IS(results[at], VAULT_EMPTY_SLOT);
    }
  }
  CHECK(ended_on_the_way >= 5); /* of 20; what begins after the wiping is refused anyway */
}

static vault_result loaded;
static atomic_int is_loading;

static void *load_once(void *unused) {
  (void)unused;
  vault_handle handle;
  is_loading = 1;
  loaded = vault_load_key_pair(key_files[0], &handle, spki);
  return NULL;
}

/* Whenever it is wiped: either the pair was there before, or it is not born after. */
static void nothing_is_born_after_wiping_all(void) {
  open_vault(0);
  int unborn = 0;
  for (int round = 0; round < 20; round++) {
    pthread_t loader;
    is_loading = 0;
    CHECK(pthread_create(&loader, NULL, load_once, NULL) == 0);
    while (!is_loading) usleep(50);
    usleep(400);
    vault_wipe_all();
    CHECK(pthread_join(loader, NULL) == 0);
    vault_status status;
    vault_get_status(&status);
    if (loaded == VAULT_EMPTY_SLOT) {
      CHECK(status.key_pairs == 0);
      unborn++;
    } else {
      IS(loaded, VAULT_OK);
    }
    vault_wipe_all();
  }
  CHECK(unborn > 0);
}

static void *unwrap_once(void *result) {
  vault_handle secret;
  uint8_t blob[VAULT_WRAP_BYTES] = {1};
  is_loading = 1;
  *(vault_result *)result = vault_unwrap(pair, NOTHING, (vault_bytes){blob, sizeof blob}, &secret);
  return NULL;
}

static void an_opening_ends_with_its_pair(void) {
  open_vault(0);
  size_t before = 0;
  int ended = 0;
  for (int round = 0; round < 20; round++) {
    pair = load_pair(0, spki);
    vault_result result;
    pthread_t opener;
    is_loading = 0;
    CHECK(pthread_create(&opener, NULL, unwrap_once, &result) == 0);
    while (!is_loading) usleep(20);
    GOOD(vault_wipe(pair));
    CHECK(pthread_join(opener, NULL) == 0);
    if (round == 4) before = arena_used(); /* by now OpenSSL has made what it makes once */
    if (result == VAULT_EMPTY_SLOT) ended++;
    else IS(result, VAULT_UNWRAP); /* it was through before */
  }
  CHECK(ended > 0);
  CHECK(arena_used() == before); /* no key and no secret stays behind */
}

/* Room is asked for again at the end: what fills the vault meanwhile must not show whether the blob was good. */
static void a_vault_full_meanwhile_answers_alike(void) {
  GOOD(vault_open(&(vault_options){.slots_max = 2}));
  pair = load_pair(0, spki);
  int full = 0;
  for (int round = 0; round < 20; round++) {
    vault_result result;
    vault_handle wrap, derive;
    pthread_t opener;
    is_loading = 0;
    CHECK(pthread_create(&opener, NULL, unwrap_once, &result) == 0);
    while (!is_loading) usleep(20);
    usleep(100);
    GOOD(vault_new_secret(&wrap, &derive));
    CHECK(pthread_join(opener, NULL) == 0);
    CHECK(result == VAULT_FULL || result == VAULT_UNWRAP);
    full += result == VAULT_FULL;
    GOOD(vault_wipe(wrap));
    GOOD(vault_wipe(derive));
  }
  CHECK(full > 0);
}

const test thread_tests[] = {
    {"eight threads seal while three sign", eight_seal_while_others_sign},
    {"a pair wiped while it signs gives nothing out", a_wiped_pair_gives_nothing_out},
    {"no pair is born after all was wiped", nothing_is_born_after_wiping_all},
    {"an opening ends with its pair", an_opening_ends_with_its_pair},
    {"a vault full meanwhile answers good and bad alike", a_vault_full_meanwhile_answers_alike},
    {0},
};
