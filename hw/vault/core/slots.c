/*
 * The slot table: who asks for a secret names a place and the generation that lived there.
 *
 *     handle   | index 20 | kind 4 | generation 32 |      slots[index] = { kind, generation, use, counter } --> arena
 *
 *     generation of the handle lower than that of the place, or equal and the place is free: wiped
 *     higher, 0, another kind, an index never used: this vault never gave it out
 *
 * The table itself holds no secret and lies in ordinary memory. A place whose generations are used up rests.
 */
#include "slots.h"

#include <sys/mman.h>

#include "births.h"
#include "seal.h"
#include "srtp.h"

enum { SLOTS_MAX = 65536, PLACES_MOST = 1 << 20, NO_PLACE = PLACES_MOST };

static struct {
  struct slot *slots;
  uint32_t places;
  uint32_t first_unused; /* places from here on were never used */
  uint32_t first_free;
  uint32_t slots_max;
  uint32_t slots_in_use;
  uint32_t key_pairs;
  uint64_t wipes;
} table;

vault_result slots_open(uint32_t slots_max) {
  if (slots_max == 0) slots_max = SLOTS_MAX;
  if (slots_max > PLACES_MOST - VAULT_KEY_PAIRS_MAX) return VAULT_FULL;
  uint32_t places = slots_max + VAULT_KEY_PAIRS_MAX;
  void *mapped = mmap(NULL, places * sizeof(struct slot), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return VAULT_NO_MEMORY;
  table.slots = mapped;
  table.places = places;
  table.slots_max = slots_max;
  table.first_free = NO_PLACE;
  return VAULT_OK;
}

static vault_handle handle_of(uint32_t index, const struct slot *slot) {
  return (uint64_t)index << 36 | (uint64_t)slot->kind << 32 | slot->generation;
}

/* The place of a handle that this vault has given out, alive or not. */
static vault_result place_of(vault_handle handle, struct slot **place) {
  uint64_t index = handle >> 36;
  uint32_t kind = (uint32_t)(handle >> 32) & 15;
  uint32_t generation = (uint32_t)handle;
  if (index >= table.first_unused || generation == 0) return VAULT_NO_SUCH_SLOT;
  struct slot *at = &table.slots[index];
  if (generation > at->generation || kind < KIND_SECRET || kind > KIND_EPHEMERAL) return VAULT_NO_SUCH_SLOT;
  if (generation < at->generation) return VAULT_EMPTY_SLOT;
  if (kind != at->kind) return VAULT_NO_SUCH_SLOT;
  *place = at;
  return at->is_live ? VAULT_OK : VAULT_EMPTY_SLOT;
}

vault_result slots_find(vault_handle handle, slot_kind kind, struct slot **found) {
  if (((handle >> 32) & 15) != kind) return VAULT_NO_SUCH_SLOT;
  return place_of(handle, found);
}

vault_result slots_find_secret(vault_handle handle, vault_use use, vault_use or_use, struct slot **found) {
  vault_result result = slots_find(handle, KIND_SECRET, found);
  if (result != VAULT_OK) return result;
  if ((*found)->use != use && (*found)->use != or_use) return VAULT_WRONG_USE;
  return (*found)->media ? VAULT_WRONG_USE : VAULT_OK;
}

vault_result slots_room(slot_kind kind, uint32_t more) {
  uint32_t left = kind == KIND_KEY_PAIR ? VAULT_KEY_PAIRS_MAX - table.key_pairs : table.slots_max - table.slots_in_use;
  return more <= left ? VAULT_OK : VAULT_FULL;
}

static uint32_t *count_of(slot_kind kind) {
  return kind == KIND_KEY_PAIR ? &table.key_pairs : &table.slots_in_use;
}

static struct slot *take_place(slot_kind kind, uint32_t *index) {
  if (slots_room(kind, 1) != VAULT_OK) return NULL;
  if (table.first_free != NO_PLACE) {
    *index = table.first_free;
    table.first_free = table.slots[*index].next_free;
  } else if (table.first_unused < table.places) {
    *index = table.first_unused++;
  } else {
    return NULL;
  }
  struct slot *taken = &table.slots[*index];
  *taken = (struct slot){.generation = taken->generation + 1, .kind = (uint8_t)kind, .is_live = 1};
  ++*count_of(kind);
  return taken;
}

vault_result slots_put_secret(vault_use use, struct secret *content, vault_handle *handle) {
  uint32_t index;
  struct slot *place = take_place(KIND_SECRET, &index);
  if (!place) {
    secret_free(content);
    return VAULT_FULL;
  }
  place->use = (uint8_t)use;
  place->secret = content;
  tell_birth(content->bytes, content->length);
  *handle = handle_of(index, place);
  return VAULT_OK;
}

vault_result slots_put_pkey(slot_kind kind, uint8_t use, EVP_PKEY *pkey, vault_handle *handle) {
  uint32_t index;
  struct slot *place = take_place(kind, &index);
  if (!place) {
    EVP_PKEY_free(pkey);
    return VAULT_FULL;
  }
  place->use = use;
  place->pkey = pkey;
  if (kind == KIND_EPHEMERAL) tell_ephemeral(pkey);
  *handle = handle_of(index, place);
  return VAULT_OK;
}

void slots_drop(struct slot *slot) {
  media_free(slot->media);
  secret_free(slot->secret);
  EVP_PKEY_free(slot->pkey);
  slot->media = NULL;
  slot->secret = NULL;
  slot->pkey = NULL;
  slot->counter = 0;
  slot->is_live = 0;
  --*count_of(slot->kind);
  if (slot->generation == UINT32_MAX) return;
  slot->next_free = table.first_free;
  table.first_free = (uint32_t)(slot - table.slots);
}

vault_result slots_wipe(vault_handle handle) {
  if (handle == 0) return VAULT_OK;
  struct slot *place;
  vault_result result = place_of(handle, &place);
  if (result == VAULT_OK) slots_drop(place);
  return result == VAULT_EMPTY_SLOT ? VAULT_OK : result;
}

void slots_wipe_all(void) {
  table.wipes++;
  for (uint32_t index = 0; index < table.first_unused; index++) {
    if (table.slots[index].is_live) slots_drop(&table.slots[index]);
  }
}

uint64_t slots_wipes(void) {
  return table.wipes;
}

void slots_count(uint32_t *in_use, uint32_t *max, uint32_t *key_pairs) {
  *in_use = table.slots_in_use;
  *max = table.slots_max;
  *key_pairs = table.key_pairs;
}

/* ---- secrets ---- */

struct secret *secret_new(size_t length) {
  struct secret *fresh = arena_take(sizeof(struct secret) + length);
  if (fresh) *fresh = (struct secret){.key = seal_next_key(), .length = (uint32_t)length};
  return fresh;
}

void secret_free(struct secret *secret) {
  if (!secret) return;
  seal_forget(secret->key);
  wipe_bytes(secret->bytes, secret->length);
  arena_give(secret);
}

void secret_changed(struct secret *secret) {
  seal_forget(secret->key);
  secret->key = seal_next_key();
  tell_birth(secret->bytes, secret->length);
}
