/* Realms and their handles: who gave out what, how many, and how each comes to its end (drawing: skin.h). */
#include "skin.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

static const char *const ALGORITHMS[] = {NULL, "x25519", "ml-kem-768"};

/* ---- realms ---- */

/* Before anything else of the environment goes: wiped even if no finalizer ever ran. */
static void realm_end(void *data) {
  vault_realm *realm = data;
  realm_wipe(realm);
  realm->ended = true;
  realm_release(realm);
}

vault_realm *realm_of(napi_env env, uint32_t slots_max, napi_value refusal, napi_value slot_of) {
  vault_realm *made = calloc(1, sizeof *made);
  if (made == NULL) return NULL;
  *made = (vault_realm){.env = env, .slots_max = slots_max, .holders = 1};
  if (napi_create_reference(env, refusal, 1, &made->refusal) != napi_ok ||
      napi_create_reference(env, slot_of, 1, &made->slot_of) != napi_ok ||
      napi_add_env_cleanup_hook(env, realm_end, made) != napi_ok) {
    free(made);
    return NULL;
  }
  return made;
}

void realm_hold(vault_realm *realm) { realm->holders++; }

void realm_release(vault_realm *realm) {
  if (--realm->holders == 0) free(realm);
}

void realm_wipe(vault_realm *realm) {
  realm->wipes++;
  for (vault_record *at = realm->records; at != NULL; at = at->next) record_wipe(at);
}

bool realm_has_room(const vault_realm *realm, uint32_t slots) {
  return (uint64_t)realm->slots_in_use + realm->slots_promised + slots <= realm->slots_max;
}

/*
 * ---- records ----
 *
 * All of the process lie in one stretch of address space, of which only what is used becomes memory. So a pointer that
 * comes out of an object of JavaScript is known for ours by its place alone, at half the price of looking at the tag
 * (which is there for other addons): what else somebody may have wrapped is never followed.
 */

enum { RECORDS_MAX = 1 << 20 }; /* handles that the collector has not come by for yet, dead ones too */

static pthread_mutex_t records_lock = PTHREAD_MUTEX_INITIALIZER;
static vault_record *records;
static vault_record *records_free;
static size_t records_used;

bool records_open(void) {
  pthread_mutex_lock(&records_lock);
  if (records == NULL) {
    void *place = mmap(NULL, RECORDS_MAX * sizeof *records, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    records = place == MAP_FAILED ? NULL : place;
  }
  bool there = records != NULL;
  pthread_mutex_unlock(&records_lock);
  return there;
}

static vault_record *record_take(void) {
  pthread_mutex_lock(&records_lock);
  vault_record *taken = records_free;
  if (taken != NULL) {
    records_free = taken->next;
  } else if (records_used < RECORDS_MAX) {
    taken = &records[records_used++];
  }
  pthread_mutex_unlock(&records_lock);
  return taken;
}

static void record_give(vault_record *record) {
  pthread_mutex_lock(&records_lock);
  *record = (vault_record){.next = records_free};
  records_free = record;
  pthread_mutex_unlock(&records_lock);
}

void record_wipe(vault_record *record) {
  vault_wipe(record->box.handle);
  if (!record->alive) return;
  record->alive = false;
  if (record->counts) record->realm->slots_in_use--;
}

/* The collector found that nobody can use the handle any more. */
static void record_forget(napi_env env, void *data, void *hint) {
  (void)env, (void)hint;
  vault_record *record = data;
  vault_realm *realm = record->realm;
  record_wipe(record);
  *record->link = record->next;
  if (record->next != NULL) record->next->link = record->link;
  record_give(record);
  realm_release(realm);
}

static vault_record *record_new(vault_realm *realm, vault_handle handle, bool counts) {
  vault_record *made = record_take();
  if (made == NULL) return NULL;
  *made = (vault_record){{handle}, realm, realm->records, &realm->records, true, counts};
  if (made->next != NULL) made->next->link = &made->next;
  realm->records = made;
  if (counts) realm->slots_in_use++;
  realm_hold(realm);
  return made;
}

/* The frozen object becomes a handle; nothing living is left behind when it can't. */
static napi_value record_around(vault_realm *realm, vault_handle handle, bool counts, bool tagged, napi_value object) {
  napi_env env = realm->env;
  vault_record *made = object == NULL ? NULL : record_new(realm, handle, counts);
  if (made == NULL) {
    vault_wipe(handle);
    return NULL;
  }
  if ((!tagged || napi_type_tag_object(env, object, &VAULT_HANDLE_TAG) == napi_ok) &&
      napi_wrap(env, object, made, record_forget, NULL, NULL) == napi_ok) {
    // From here on the finalizer sees to it.
    return object;
  }
  record_forget(env, made, NULL);
  return NULL;
}

napi_value record_make(vault_realm *realm, vault_handle handle, bool counts, const napi_property_descriptor *shown,
                       size_t shown_count) {
  napi_value object = object_of(realm->env, shown, shown_count);
  if (object != NULL && napi_object_freeze(realm->env, object) != napi_ok) object = NULL;
  return record_around(realm, handle, counts, false, object);
}

static napi_value word(napi_env env, const char *text) {
  napi_value value = NULL;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
  return value;
}

/* Slots come and go by the dozen with each line: JavaScript makes their objects in a tenth of the time. */
napi_value slot_make(vault_realm *realm, vault_handle handle, vault_use use) {
  napi_env env = realm->env;
  napi_value slot_of, nothing, number, object = NULL;
  if (napi_get_reference_value(env, realm->slot_of, &slot_of) != napi_ok ||
      napi_get_undefined(env, &nothing) != napi_ok || napi_create_uint32(env, use, &number) != napi_ok ||
      napi_call_function(env, nothing, slot_of, 1, &number, &object) != napi_ok) {
    object = NULL;
  }
  bool for_voice = use == VAULT_PACKET_SEAL || use == VAULT_PACKET_OPEN;
  return record_around(realm, handle, true, for_voice, object);
}

napi_value key_pair_make(vault_realm *realm, vault_handle handle, const uint8_t spki[VAULT_SPKI_BYTES]) {
  napi_value copy = NULL;
  napi_create_buffer_copy(realm->env, VAULT_SPKI_BYTES, spki, NULL, &copy);
  const napi_property_descriptor shown[] = {{.utf8name = "spki", .value = copy, .attributes = napi_default_jsproperty}};
  return record_make(realm, handle, false, shown, 1);
}

napi_value ephemeral_make(vault_realm *realm, vault_handle handle, vault_algorithm algorithm, napi_value public_key) {
  const napi_property_descriptor shown[] = {
      {.utf8name = "algorithm", .value = word(realm->env, ALGORITHMS[algorithm]), .attributes = napi_default_jsproperty},
      {.utf8name = "publicKey", .value = public_key, .attributes = napi_default_jsproperty},
  };
  return record_make(realm, handle, true, shown, 2);
}

vault_record *record_of(const vault_realm *realm, napi_value value) {
  void *data = NULL;
  if (napi_unwrap(realm->env, value, &data) != napi_ok) return NULL;
  size_t offset = (size_t)((uintptr_t)data - (uintptr_t)records);
  if (offset >= RECORDS_MAX * sizeof *records || offset % sizeof *records != 0) return NULL;
  vault_record *found = data;
  return found->realm == realm ? found : NULL;
}

static void bound_forget(napi_env env, void *data, void *hint) {
  (void)env, (void)hint;
  bound_slot *bound = data;
  realm_release(bound->realm);
  free(bound);
}

napi_value function_bind(vault_realm *realm, vault_handle slot, napi_callback run) {
  napi_value function = NULL;
  bound_slot *bound = malloc(sizeof *bound);
  if (bound == NULL) return NULL;
  *bound = (bound_slot){realm, slot};
  realm_hold(realm);
  if (napi_create_function(realm->env, NULL, 0, run, bound, &function) == napi_ok &&
      napi_add_finalizer(realm->env, function, bound, bound_forget, NULL, NULL) == napi_ok) {
    return function;
  }
  bound_forget(realm->env, bound, NULL);
  return NULL;
}
