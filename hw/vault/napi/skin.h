/*
 * The skin between JavaScript and the core: takes arguments apart, calls the core, makes results. No policy of keys
 * lives here; what it adds is whose a handle is.
 *
 *     process       one core, opened by whoever comes first; every Worker has an environment of its own
 *       realm       one vault of JavaScript: its living handles, its limit, its wipe; functions carry it as their data
 *         record    one handle: wrapped in a frozen object; wiped by hand, by the realm or by the collector
 *
 * A realm is touched only by the thread of its environment. RSA runs in Node's pool and sees jobs, never realms.
 */
#ifndef FELDFON_VAULT_SKIN_H
#define FELDFON_VAULT_SKIN_H

#define NAPI_VERSION 9
#include <stdbool.h>

#include "handle.h"

typedef struct vault_record vault_record;

typedef struct vault_realm {
  napi_env env;
  napi_ref refusal; /* (word, errno) => VaultError */
  napi_ref slot_of; /* (use) => frozen object */
  vault_record *records;
  uint32_t slots_in_use;
  uint32_t slots_promised; /* to jobs that run */
  uint32_t slots_max;
  uint64_t wipes;   /* what began before one brings nothing back to life after it */
  uint32_t holders; /* the environment, each record, each job */
  bool ended;
} vault_realm;

struct vault_record {
  vault_handle_box box; /* first: all that other addons know */
  vault_realm *realm;
  vault_record *next;
  vault_record **link;
  bool alive;
  bool counts; /* key pairs are no slots */
};

/* Most arguments of a call: derive with its key material. */
enum { ARGUMENTS_MAX = 20 };

typedef struct skin_call {
  napi_env env;
  vault_realm *realm;
  size_t count;
  napi_value arguments[ARGUMENTS_MAX];
} skin_call;

/* What a function has that works on one slot alone: no object has to be looked into at each packet. */
typedef struct bound_slot {
  vault_realm *realm;
  vault_handle slot; /* has its generation: when another lives in its place, it is a wiped one */
} bound_slot;

typedef struct skin_function {
  const char *name;
  napi_callback run;
} skin_function;

/* ---- realms.c ---- */

vault_realm *realm_of(napi_env env, uint32_t slots_max, napi_value refusal, napi_value slot_of);
void realm_hold(vault_realm *realm);
void realm_release(vault_realm *realm);
void realm_wipe(vault_realm *realm);
bool realm_has_room(const vault_realm *realm, uint32_t slots);

/* Before the first realm; false when there is no address space. */
bool records_open(void);
/* A frozen object around the handle, with these properties to be seen. Wipes the handle when it can't be made. */
napi_value record_make(vault_realm *realm, vault_handle handle, bool counts, const napi_property_descriptor *shown,
                       size_t shown_count);
napi_value slot_make(vault_realm *realm, vault_handle handle, vault_use use);
napi_value key_pair_make(vault_realm *realm, vault_handle handle, const uint8_t spki[VAULT_SPKI_BYTES]);
napi_value ephemeral_make(vault_realm *realm, vault_handle handle, vault_algorithm algorithm, napi_value public_key);
/* NULL for what this realm never gave out. */
vault_record *record_of(const vault_realm *realm, napi_value value);
void record_wipe(vault_record *record);
/* A function for this slot; whoever calls it holds the slot's object too, or the collector wipes the slot. */
napi_value function_bind(vault_realm *realm, vault_handle slot, napi_callback run);

/* ---- arguments.c: each throws and returns false when the argument is none of the kind ---- */

bool call_begin(napi_env env, napi_callback_info info, size_t count, skin_call *call);
bool call_begin_wide(napi_env env, napi_callback_info info, size_t least, size_t most, skin_call *call);
/* For a function that function_bind has made. */
bool call_begin_bound(napi_env env, napi_callback_info info, size_t count, skin_call *call, vault_handle *slot);
bool take_record(skin_call *call, size_t at, vault_record **record);
/* A Uint8Array on memory of its own; the bytes are good until JavaScript runs again. */
bool take_bytes(skin_call *call, size_t at, vault_bytes *bytes);
/* As native.ts makes it, of exactly this length; elements of another width only leave room behind. */
bool take_output(skin_call *call, size_t at, size_t length, uint8_t **output);
bool take_number(skin_call *call, size_t at, double *number);
/* A whole number up to `most`, else the refusal. */
bool take_whole(skin_call *call, size_t at, double most, vault_result otherwise, uint64_t *number);
/* Any number, by its lowest 32 bits. */
bool take_uint32(skin_call *call, size_t at, uint32_t *number);

/* ---- answers: NULL is undefined, or an exception that waits ---- */

napi_value error_of(vault_realm *realm, vault_result result, int error_number);
napi_value refuse(skin_call *call, vault_result result);
napi_value done(skin_call *call, vault_result result);
napi_value new_buffer(napi_env env, size_t length, uint8_t **bytes);
/* `full` unless there is room. */
bool room_for(skin_call *call, uint32_t slots);
/* What was made; an exception when that is nothing. */
napi_value made(skin_call *call, napi_value value);
/* The new slot, or the refusal. */
napi_value slot_born(skin_call *call, vault_result result, vault_handle handle, vault_use use);
napi_value object_of(napi_env env, const napi_property_descriptor *properties, size_t count);

/* ---- what a realm can do, by file ---- */

extern const skin_function slot_functions[];
extern const skin_function media_functions[];
extern const skin_function key_pair_functions[];
#ifdef VAULT_TESTING
extern const skin_function testing_functions[];
#endif

#endif
