/*
 * The module: opens the process's one core and gives JavaScript realms of it.
 *
 *     { open(refusal, slot, ..) => realm, harden() => how closed the process is, voiceTable }
 *
 * The shipped build and the testing build differ by testing.c, and by what it hooks into the core (births.h).
 */
#include <pthread.h>

#include "skin.h"

/* ---- the core, once per process, whoever comes first ---- */

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static bool opened;

static vault_result open_core(const vault_options *options) {
  pthread_mutex_lock(&opening);
  vault_result result = opened ? VAULT_OK : vault_open(options);
  opened = opened || result == VAULT_OK;
  pthread_mutex_unlock(&opening);
  return result;
}

/* ---- status ---- */

static napi_value number_of(napi_env env, double number) {
  napi_value value = NULL;
  napi_create_double(env, number, &value);
  return value;
}

static napi_value truth_of(napi_env env, bool truth) {
  napi_value value = NULL;
  napi_get_boolean(env, truth, &value);
  return value;
}

/* Slots are those of the realm; everything else is the process's. */
static napi_value status(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_status now;
  napi_value library = NULL;
  if (!call_begin(env, info, 0, &c)) return NULL;
  vault_get_status(&now);
  napi_create_string_utf8(env, now.library, NAPI_AUTO_LENGTH, &library);
  const napi_property_descriptor all[] = {
      {.utf8name = "secretMemory",
       .value = truth_of(env, now.backend == VAULT_MEMFD_SECRET),
       .attributes = napi_default_jsproperty},
      {.utf8name = "library", .value = library, .attributes = napi_default_jsproperty},
      {.utf8name = "slotsInUse", .value = number_of(env, c.realm->slots_in_use), .attributes = napi_default_jsproperty},
      {.utf8name = "slotsMax", .value = number_of(env, c.realm->slots_max), .attributes = napi_default_jsproperty},
      {.utf8name = "slotsOfProcess", .value = number_of(env, now.slots_in_use), .attributes = napi_default_jsproperty},
      {.utf8name = "arenaBytes", .value = number_of(env, (double)now.arena_bytes), .attributes = napi_default_jsproperty},
      {.utf8name = "arenaUsedBytes", .value = number_of(env, (double)now.arena_used), .attributes = napi_default_jsproperty},
      {.utf8name = "arenaPeakBytes", .value = number_of(env, (double)now.arena_peak), .attributes = napi_default_jsproperty},
      {.utf8name = "coreLimitBytes",
       .value = number_of(env, (double)now.core_limit),
       .attributes = napi_default_jsproperty},
      {.utf8name = "dumpable", .value = truth_of(env, now.dumpable != 0), .attributes = napi_default_jsproperty},
      {.utf8name = "hardwareRandomness", .value = truth_of(env, now.hwrng != 0), .attributes = napi_default_jsproperty},
  };
  return object_of(env, all, sizeof all / sizeof *all);
}

/* ---- realms ---- */

static const skin_function realm_functions[] = {{"status", status}, {NULL, NULL}};

static bool add_functions(vault_realm *realm, napi_value object, const skin_function *functions) {
  for (const skin_function *at = functions; at->name != NULL; at++) {
    napi_value made;
    if (napi_create_function(realm->env, at->name, NAPI_AUTO_LENGTH, at->run, realm, &made) != napi_ok ||
        napi_set_named_property(realm->env, object, at->name, made) != napi_ok) {
      return false;
    }
  }
  return true;
}

static bool add_all(vault_realm *realm, napi_value object) {
  static const skin_function *const tables[] = {
      realm_functions, slot_functions, media_functions, key_pair_functions,
#ifdef VAULT_TESTING
      testing_functions,
#endif
  };
  for (size_t at = 0; at < sizeof tables / sizeof *tables; at++) {
    if (!add_functions(realm, object, tables[at])) return false;
  }
  return true;
}

static bool is_function(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  return napi_typeof(env, value, &type) == napi_ok && type == napi_function;
}

/* (refusal, slot, slots of this realm or 0, arena bytes or 0, locked) => realm, or the word why there is none.
 * The last two count for the first call of the process only. */
static napi_value open_realm(napi_env env, napi_callback_info info) {
  enum { REFUSAL, SLOT, SLOTS_MAX, ARENA_BYTES, LOCKED, ARGUMENTS };
  skin_call c;
  uint32_t slots_max = 0;
  double arena_bytes = 0;
  bool locked = false;
  napi_value answer = NULL;
  if (!call_begin(env, info, ARGUMENTS, &c) || !take_uint32(&c, SLOTS_MAX, &slots_max) ||
      !take_number(&c, ARENA_BYTES, &arena_bytes)) {
    return NULL;
  }
  if (!is_function(env, c.arguments[REFUSAL]) || !is_function(env, c.arguments[SLOT]) ||
      napi_get_value_bool(env, c.arguments[LOCKED], &locked) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "open expects (function, function, number, number, boolean)");
    return NULL;
  }
  const vault_options options = {
      .arena_bytes = arena_bytes > 0 ? (size_t)arena_bytes : 0,
      .backend = locked ? VAULT_LOCKED : 0,
  };
  vault_result result = records_open() ? open_core(&options) : VAULT_NO_MEMORY;
  vault_status now = {.slots_max = 0};
  vault_realm *realm = NULL;
  if (result == VAULT_OK) {
    vault_get_status(&now);
    realm = realm_of(env, slots_max > 0 && slots_max < now.slots_max ? slots_max : now.slots_max, c.arguments[REFUSAL],
                     c.arguments[SLOT]);
    if (realm == NULL) result = VAULT_INTERNAL;
  }
  if (result != VAULT_OK) {
    napi_create_string_utf8(env, vault_word(result), NAPI_AUTO_LENGTH, &answer);
    return answer;
  }
  if (napi_create_object(env, &answer) != napi_ok || !add_all(realm, answer)) return NULL;
  return answer;
}

/* ---- the process ---- */

static napi_value harden(napi_env env, napi_callback_info info) {
  (void)info;
  vault_hardening after;
  vault_harden(&after);
  const napi_property_descriptor all[] = {
      {.utf8name = "dumpable", .value = truth_of(env, after.dumpable != 0), .attributes = napi_default_jsproperty},
      {.utf8name = "coreLimitBytes",
       .value = number_of(env, (double)after.core_limit),
       .attributes = napi_default_jsproperty},
      {.utf8name = "newPrivileges", .value = truth_of(env, after.new_privileges != 0), .attributes = napi_default_jsproperty},
      {.utf8name = "sigusr1Ignored",
       .value = truth_of(env, after.sigusr1_ignored != 0),
       .attributes = napi_default_jsproperty},
  };
  return object_of(env, all, sizeof all / sizeof *all);
}

/* ---- the module ---- */

static napi_value voice_table(napi_env env) {
  napi_value external = NULL;
  // N-API has no external over constant memory; whoever takes it apart makes it constant again.
  if (napi_create_external(env, (void *)(uintptr_t)vault_get_table(), NULL, NULL, &external) != napi_ok ||
      napi_type_tag_object(env, external, &VAULT_TABLE_TAG) != napi_ok) {
    return NULL;
  }
  return external;
}

NAPI_MODULE_INIT() {
  napi_value open = NULL;
  napi_value close_process = NULL;
  napi_create_function(env, "open", NAPI_AUTO_LENGTH, open_realm, NULL, &open);
  napi_create_function(env, "harden", NAPI_AUTO_LENGTH, harden, NULL, &close_process);
  const napi_property_descriptor all[] = {
      {.utf8name = "open", .value = open, .attributes = napi_default_jsproperty},
      {.utf8name = "harden", .value = close_process, .attributes = napi_default_jsproperty},
      {.utf8name = "voiceTable", .value = voice_table(env), .attributes = napi_default_jsproperty},
  };
  napi_value module = object_of(env, all, sizeof all / sizeof *all);
  return module == NULL ? exports : module;
}
